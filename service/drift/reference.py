"""What data drift is measured against: the distribution of each feature in the champion's training data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from service.drift.bins import MISSING, QUANTILES, RARE, UNSEEN, WIDTH, CategoryBins, NumberBins
from service.drift.comparison import psi, spread_of
from service.records import FloatArray, IntArray


@dataclass(frozen=True)
class Reference:
    """How ``rows`` events were spread over the bins of F numeric and C categorical features.

    ``shares`` [F + C, WIDTH] sum to 1 in each row; as unseen counts what was new in the last of those events, so that
    an identifier, whose every value is new, does not drift. ``spread`` [F + C] tells how many times more than by chance
    the shares differed between stretches of those events (1 where events are independent). ``until_ms`` is the time of
    the newest of them, None where nobody told.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    numbers: NumberBins
    categories: CategoryBins
    shares: FloatArray
    spread: FloatArray
    rows: int
    until_ms: int | None = None

    @classmethod
    def of(
        cls,
        numeric: Sequence[str],
        numbers: FloatArray,
        categorical: Sequence[str] = (),
        codes: IntArray | None = None,
        *,
        stretch: int = 500,
        until_ms: int | None = None,
    ) -> Self:
        """Return the reference of events in order of arrival, at least one.

        ``numbers`` [n, F], NaN where missing; ``codes`` [n, C], 0 where missing; ``stretch`` is the number of events
        that will be compared with it.
        """
        codes = np.zeros((len(numbers), 0), dtype=np.int64) if codes is None else codes
        bins, categories = NumberBins.of(numbers), CategoryBins.of(codes)
        parts = [
            np.concatenate([bins.counts(numbers[at : at + stretch]), categories.counts(codes[at : at + stretch])])
            for at in range(0, len(numbers), stretch)
        ]
        shares = np.stack(parts).sum(axis=0) / max(len(numbers), 1)
        # The newest stretch does not count: a drift that begins in it would raise what is allowed for, and hide itself.
        spread = spread_of(parts[: max(len(numbers) - stretch, 0) // stretch], len(shares))
        new = np.minimum(categories.new_shares(codes, stretch), shares[numbers.shape[1] :, RARE])
        shares[numbers.shape[1] :, UNSEEN] = new
        shares[numbers.shape[1] :, RARE] -= new
        return cls(
            tuple(numeric),
            tuple(categorical),
            bins,
            categories,
            shares,
            spread,
            len(numbers),
            until_ms,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All features in the order of the rows."""
        return self.numeric + self.categorical

    def counts(self, numbers: FloatArray, codes: IntArray | None = None) -> FloatArray:
        """Return how many of the events fall into each bin, [F + C, WIDTH]."""
        codes = np.zeros((len(numbers), 0), dtype=np.int64) if codes is None else codes
        return np.concatenate([self.numbers.counts(numbers), self.categories.counts(codes)])

    def shares_of(self, counts: FloatArray) -> FloatArray:
        """Return counts as the shares [F + C, WIDTH] that are compared with the reference's.

        Fewer unseen categories than there should be count as the due number: some of the newest events may be among
        those that the champion was trained on.
        """
        shares: FloatArray = counts / counts.sum(axis=1, keepdims=True)
        first = len(self.numeric)
        others = shares[first:, RARE] + shares[first:, UNSEEN]
        unseen = np.minimum(np.maximum(shares[first:, UNSEEN], self.shares[first:, UNSEEN]), others)
        shares[first:, UNSEEN], shares[first:, RARE] = unseen, others - unseen
        return shares

    def psi(self, numbers: FloatArray, codes: IntArray | None = None) -> dict[str, float]:
        """Return the population stability index of each feature of some events; empty without rows."""
        if not len(numbers):
            return {}
        now = self.shares_of(self.counts(numbers, codes))
        return dict(zip(self.names, psi(now, self.shares).tolist(), strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        known = zip(self.categories.common, self.categories.seen, strict=True)
        return {
            "rows": self.rows,
            "until_ms": self.until_ms,
            "numeric": list(self.numeric),
            "categorical": list(self.categorical),
            "edges": {
                name: edges[np.isfinite(edges)].tolist()
                for name, edges in zip(self.numeric, self.numbers.edges, strict=True)
            },
            "codes": {
                name: {"common": list(common), "seen": seen.tolist()}
                for name, (common, seen) in zip(self.categorical, known, strict=True)
            },
            "shares": dict(zip(self.names, self.shares.tolist(), strict=True)),
            "spread": dict(zip(self.names, self.spread.tolist(), strict=True)),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the reference that ``to_json`` described; raises KeyError or ValueError when it is none.

        One that was written before categories were watched gives scores for numbers, and no alarms.
        """
        numeric = tuple(value["numeric"] if "rows" in value else value["edges"])
        categorical = tuple(value.get("categorical", ()))
        edges = np.full((len(numeric), QUANTILES), np.inf)
        shares = np.zeros((len(numeric) + len(categorical), WIDTH))
        for index, name in enumerate(numeric):
            edges[index, : len(value["edges"][name])] = value["edges"][name]
        for index, name in enumerate(numeric + categorical):
            given = value["shares"][name]
            if "rows" not in value:  # the missing came last
                given = [given[-1], *given[:-1]]
            shares[index, : len(given)] = given
        codes = value.get("codes", {})
        spread = value.get("spread", {})
        return cls(
            numeric,
            categorical,
            NumberBins(edges),
            CategoryBins(
                tuple(tuple(codes[name]["common"]) for name in categorical),
                tuple(np.array(codes[name]["seen"], dtype=np.int64) for name in categorical),
            ),
            shares,
            np.array([spread.get(name, 1.0) for name in numeric + categorical]),
            int(value.get("rows", 0)),
            int(until) if (until := value.get("until_ms")) is not None else None,
        )

    def rates(self, counts: FloatArray) -> dict[tuple[str, str], float]:
        """Return by (feature, kind) the shares that are missing, and of categories those that training never saw."""
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        found = {(name, "missing"): float(share) for name, share in zip(self.names, shares[:, MISSING], strict=True)}
        first = len(self.numeric)
        unseen = zip(self.categorical, shares[first:, UNSEEN], strict=True)
        return found | {(name, "unseen"): float(share) for name, share in unseen}
