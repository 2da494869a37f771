"""Sums along a stream in bounded memory: buckets of equal width that merge by pairs when there are too many."""

from collections.abc import Iterable, Mapping

import numpy as np

from service.records import FloatArray

MOST_POINTS = 1_000
FIRST_WIDTH = 20
"""Events in a bucket to begin with."""


class Curves:
    """Sums of named columns over buckets of ``width`` consecutive events; at most MOST_POINTS of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.width = FIRST_WIDTH
        self.events = 0
        self._sums: FloatArray = np.zeros((len(self.names), MOST_POINTS))

    def add(self, values: FloatArray) -> None:
        """Add a column of ``values`` [names, n] for each of the next n events."""
        begin, total = 0, values.shape[1]
        while begin < total:
            bucket, filled = self._next_bucket()
            end = min(total, begin + self.width - filled)
            self._sums[:, bucket] += values[:, begin:end].sum(axis=1)
            self.events += end - begin
            begin = end

    def skip(self, events: int) -> None:
        """Go on by some events, of which there is nothing to add."""
        until = self.events + events
        while self.events < until:
            _, filled = self._next_bucket()
            self.events = min(until, self.events + self.width - filled)

    def note(self, name: str, amount: float = 1.0) -> None:
        """Add to a column where the newest event stands."""
        bucket = max(self.events - 1, 0) // self.width
        self._sums[self.names.index(name), bucket] += amount

    def sums(self) -> dict[str, FloatArray]:
        """Return each column's sums by bucket [points]."""
        points = -(-self.events // self.width)
        return {name: self._sums[index, :points].copy() for index, name in enumerate(self.names)}

    def ends(self) -> FloatArray:
        """Return after how many events each bucket ends [points]."""
        points = -(-self.events // self.width)
        return np.minimum(np.arange(1, points + 1) * self.width, self.events).astype(np.float64)

    def _next_bucket(self) -> tuple[int, int]:
        """Return the bucket of the next event, and how many are in it already."""
        if self.events == self.width * MOST_POINTS:
            half = self._sums[:, 0::2] + self._sums[:, 1::2]
            self._sums = np.concatenate([half, np.zeros_like(half)], axis=1)
            self.width *= 2
        return divmod(self.events, self.width)


class Samples:
    """Readings of some values now and then; when there are too many, every other one is left out from then on.

    A name that was not there before reads NaN for the time until then.
    """

    def __init__(self) -> None:
        self.at: list[int] = []
        self.values: dict[str, list[float]] = {}
        self._stride = 1
        self._offered = 0

    def offer(self, events: int, values: Mapping[str, float]) -> None:
        """Take a reading after so many events, or leave it out."""
        self._offered += 1
        if not values or (self._offered - 1) % self._stride:
            return
        for name in values:
            self.values.setdefault(name, [np.nan] * len(self.at))
        self.at.append(events)
        for name, column in self.values.items():
            column.append(values.get(name, np.nan))
        if len(self.at) >= MOST_POINTS:
            self.at = self.at[::2]
            self.values = {name: column[::2] for name, column in self.values.items()}
            self._stride *= 2
