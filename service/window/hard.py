"""A replay memory of what the serving model found hard, not too long ago."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import Examples, FloatArray, IntArray
from service.window.reservoirs import OUTSIDE, Reservoir
from service.window.rings import Arrays

LEAST_LOSS, UNKNOWN_LOSS = 1e-9, 1.0
"""A loss of zero has no logarithm; and one that was never told counts as 1."""

CHOICE = 5
"""The memory holds about one in so many of what is recent enough: with all of it there would be nothing to choose."""


class HardReservoir(Reservoir):
    """The chance to be held grows with the loss at arrival and fades with age, over CHOICE * ``capacity`` arrivals.

    Weighted sampling without replacement (Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir"; the
    largest of log weight + Gumbel noise are such a sample), the weight being the loss times a decay with age. By
    forward decay (Cormode, Shkapenyuk, Srivastava & Xu 2009) age counts from the stream's beginning, so that a
    priority never changes. To sample by loss, not to take the worst alone, keeps wrong labels from filling the memory
    (as in prioritised replay, Schaul, Quan, Antonoglou & Silver 2016).
    """

    selection = "hard"

    def __init__(self, capacity: int, numbers: int, codes: int, seed: int) -> None:
        super().__init__(capacity, numbers, codes, seed)
        self._priorities = np.full(capacity, -np.inf)
        self._born = np.zeros(capacity, dtype=np.int64)

    def _slots(self, arrived: Examples, losses: FloatArray) -> IntArray:
        order = self._seen + np.arange(len(arrived))
        drawn = np.maximum(self._random.random(len(arrived)), np.finfo(np.float64).tiny)
        known = np.maximum(np.where(np.isfinite(losses), losses, UNKNOWN_LOSS), LEAST_LOSS)
        priorities = np.log(known) + order / (CHOICE * self.capacity) - np.log(-np.log(drawn))
        together = np.concatenate([self._priorities[: self._count], priorities])
        kept = np.zeros(len(together), dtype=np.bool_)
        room = min(self.capacity, len(together))
        kept[np.argpartition(together, -room)[-room:]] = True
        entering = np.flatnonzero(kept[self._count :])
        free = np.concatenate([np.flatnonzero(~kept[: self._count]), np.arange(self._count, room)])[: len(entering)]
        slots = np.full(len(arrived), OUTSIDE, dtype=np.int64)
        slots[entering] = free
        self._priorities[free], self._born[free] = priorities[entering], order[entering]
        self._count = room
        return slots

    def contents(self) -> Examples:
        """Return a copy of the sample, oldest first, so that how it was batched does not show."""
        return self._held.take(self._by_age())

    def columns(self) -> Arrays:
        """Return priorities [n] and numbers of arrival [n], in the order of the contents."""
        rows = self._by_age()
        return {"priorities": self._priorities[rows], "born": self._born[rows]}

    def _by_age(self) -> IntArray:
        return np.argsort(self._born[: self._count], kind="stable")

    def _resume(self, state: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:
        self._priorities[: self._count] = columns["priorities"][: self._count]
        self._born[: self._count] = columns["born"][: self._count]
        # Priorities that were given by another capacity, or beyond rows that were cut off, still count from `seen`.
        self._seen = max(int(state["seen"]), self._count)
