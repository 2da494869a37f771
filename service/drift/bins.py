"""Columns become counts by bin: the common form in which numbers, categories and predictions are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.records import FloatArray, IntArray

QUANTILES = 10
WIDTH = QUANTILES + 2
"""Counts of any column: the missing first, then up to eleven bins of numbers, or rare, unseen and nine categories."""

MISSING, RARE, UNSEEN, FIRST_COMMON = range(4)
LEAST_SHARE = 0.01
"""A rarer category has no bin of its own: too few of it are seen in a window to judge by."""

LARGEST = 1e300
"""Beyond it numbers count as this large: between two at a double's opposite ends no quantile could be taken."""


@dataclass(frozen=True)
class NumberBins:
    """Bins between the deciles of each of F columns; a value that is common by itself has a bin of its own.

    ``edges`` [F, 10] ascending, filled up with infinity; a bin holds what is over one edge and not over the next.
    """

    edges: FloatArray

    @classmethod
    def of(cls, numbers: FloatArray) -> "NumberBins":
        """Return the bins of ``numbers`` [n, F]; NaN is missing."""
        edges = np.full((numbers.shape[1], QUANTILES), np.inf)
        for row, column in zip(edges, numbers.T, strict=True):
            found = _edges(column[~np.isnan(column)])
            row[: len(found)] = found
        return cls(edges)

    def counts(self, numbers: FloatArray) -> FloatArray:
        """Return how many of the rows [n, F] fall into each bin, [F, WIDTH]."""
        out = np.zeros((len(self.edges), WIDTH))
        missing = np.isnan(numbers).sum(axis=0)
        over = np.count_nonzero(numbers[:, :, None] > self.edges, axis=0)  # NaN is over nothing
        out[:, MISSING] = missing
        out[:, 1] = len(numbers) - missing - over[:, 0]
        out[:, 2:-1] = over[:, :-1] - over[:, 1:]
        out[:, -1] = over[:, -1]
        return out


@dataclass(frozen=True)
class CategoryBins:
    """Bins of each of C columns of codes: the missing, the rare, those unseen in training, and up to nine common ones.

    ``common`` and ``seen`` are codes by column, the latter sorted.
    """

    common: tuple[tuple[int, ...], ...]
    seen: tuple[IntArray, ...]

    def __post_init__(self) -> None:
        tables = [_table(common, seen) for common, seen in zip(self.common, self.seen, strict=True)]
        object.__setattr__(self, "_tables", tables)

    @classmethod
    def of(cls, codes: IntArray) -> "CategoryBins":
        """Return the bins of ``codes`` [n, C]; 0 is missing."""
        common, seen = [], []
        for column in codes.T:
            values, counts = np.unique(column[column != MISSING], return_counts=True)
            order = np.argsort(-counts, kind="stable")[: WIDTH - FIRST_COMMON]
            enough = counts[order] >= LEAST_SHARE * len(column)
            common.append(tuple(values[order][enough].tolist()))
            seen.append(values.astype(np.int64))
        return cls(tuple(common), tuple(seen))

    def new_shares(self, codes: IntArray, newest: int) -> FloatArray:
        """Return what share of the ``newest`` of the rows [n, C] has a rare category that none before them had, [C].

        Of fewer than twice as many rows, the second half is looked at.
        """
        at = max(len(codes) - newest, len(codes) // 2)
        found = np.zeros(len(self.common))
        for index, common in enumerate(self.common):
            before, after = codes[:at, index], codes[at:, index]
            new = ~np.isin(after, before) & ~np.isin(after, common) & (after != MISSING)
            found[index] = new.mean() if len(new) else 0.0
        return found

    def counts(self, codes: IntArray) -> FloatArray:
        """Return how many of the rows [n, C] fall into each bin, [C, WIDTH]."""
        out = np.zeros((len(self.common), WIDTH))
        for index, table in enumerate(self.__dict__["_tables"]):
            bins = table[np.minimum(codes[:, index], len(table) - 1)]
            out[index] = np.bincount(bins, minlength=WIDTH)
        return out


def _edges(present: FloatArray) -> FloatArray:
    if not len(present):
        return present
    present = np.clip(present, -LARGEST, LARGEST)
    quantiles, times = np.unique(np.quantile(present, np.linspace(0, 1, QUANTILES + 1)[1:-1]), return_counts=True)
    # Without an edge below it, what falls under a constant or under a heavy least value would count as that value.
    alone = quantiles[(times > 1) | (quantiles == present.min())]
    return np.unique(np.concatenate([quantiles, np.nextafter(alone, -np.inf)]))


def _table(common: Sequence[int], seen: IntArray) -> IntArray:
    """Return the bin of each code; the last entry stands for all codes beyond."""
    table = np.full(int(seen.max(initial=MISSING)) + 2, UNSEEN, dtype=np.int64)
    table[seen] = RARE
    table[list(common)] = FIRST_COMMON + np.arange(len(common))
    table[0] = MISSING
    return table
