"""Columns become counts by bin: the common form in which numbers, categories and predictions are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.records import FloatArray, IntArray

QUANTILES = 10
WIDTH = QUANTILES + 2
"""Counts of any column: the missing first, then up to eleven bins of numbers, or rare, unseen and nine categories."""

LEVELS = np.linspace(0, 1, QUANTILES + 1)[1:-1]

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
        columns = np.ascontiguousarray(np.clip(numbers, -LARGEST, LARGEST).T)
        columns.sort(axis=1)  # the missing last
        quantiles = _deciles(columns)
        # Without an edge below it, what falls under a constant or under a heavy least value would count as that value.
        alone = quantiles == columns[:, :1]
        repeated = quantiles[:, 1:] == quantiles[:, :-1]
        alone[:, 1:] |= repeated
        alone[:, :-1] |= repeated
        edges = np.concatenate([quantiles, np.where(alone, np.nextafter(quantiles, -np.inf), np.inf)], axis=1)
        edges.sort(axis=1)
        edges[:, 1:][edges[:, 1:] == edges[:, :-1]] = np.inf
        edges.sort(axis=1)
        edges[np.isnan(columns[:, 0])] = np.inf
        return cls(edges[:, :QUANTILES])

    def counts(self, numbers: FloatArray) -> FloatArray:
        """Return how many of the rows [n, F] fall into each bin, [F, WIDTH]."""
        out = np.zeros((len(self.edges), WIDTH))
        missing = np.isnan(numbers).sum(axis=0)
        columns = np.ascontiguousarray(numbers.T)[:, None]
        over = (columns > self.edges[:, :, None]).sum(axis=2, dtype=np.int32)  # NaN is over nothing
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


def _deciles(columns: FloatArray) -> FloatArray:
    """Return the inner deciles [F, 9] of sorted columns [F, n], n > 0, NaN last and left out; NaN where all are.

    They are what ``np.quantile`` gives, to the bit, which would put each column into order again.
    """
    last = np.maximum(np.count_nonzero(~np.isnan(columns), axis=1), 1)[:, None] - 1
    at = LEVELS * last
    below = at.astype(np.int64)
    rows = np.arange(len(columns))[:, None]
    low, high, share = columns[rows, below], columns[rows, np.minimum(below + 1, last)], at - below
    step = high - low
    found: FloatArray = np.where(share < 0.5, low + step * share, high - step * (1 - share))  # noqa: PLR2004 - nearest
    return found


def _table(common: Sequence[int], seen: IntArray) -> IntArray:
    """Return the bin of each code; the last entry stands for all codes beyond."""
    table = np.full(int(seen.max(initial=MISSING)) + 2, UNSEEN, dtype=np.int64)
    table[seen] = RARE
    table[list(common)] = FIRST_COMMON + np.arange(len(common))
    table[0] = MISSING
    return table
