"""Samples of bounded size from a stream that does not end."""

from typing import Any

import numpy as np

from service.records import Examples, IntArray
from service.window.rings import arrays_of


class Reservoir:
    """A uniform sample of all examples seen (Vitter 1985, algorithm R), or a time-biased one.

    With ``biased`` each arrival enters, and at probability (held / capacity) it replaces a random one, so that the
    chance of being held falls exponentially with age (Aggarwal 2006, algorithm 2.1).
    """

    def __init__(self, capacity: int, numbers: int, codes: int, seed: int, *, biased: bool = False) -> None:
        self.capacity = capacity
        self.biased = biased
        self._held = Examples.empty(numbers, codes, capacity)
        self._count = 0
        self._seen = 0
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self._count

    def append(self, arrived: Examples) -> None:
        """Offer examples, oldest first."""
        if not len(arrived) or not self.capacity:
            return
        slots = self._biased_slots(len(arrived)) if self.biased else self._uniform_slots(len(arrived))
        entering = slots >= 0
        # Where two arrivals chose one slot, numpy keeps the later, as one after the other would have done.
        for name, column in arrays_of(self._held).items():
            column[slots[entering]] = getattr(arrived, name)[entering]

    def _uniform_slots(self, arrivals: int) -> IntArray:
        # Free slots first: there are some at the beginning, and after the capacity was raised between two runs.
        following = self._count + np.arange(arrivals)
        order = self._seen + np.arange(arrivals)
        drawn = (self._random.random(arrivals) * (order + 1)).astype(np.int64)
        slots = np.where(following < self.capacity, following, np.where(drawn < self.capacity, drawn, -1))
        self._seen += arrivals
        self._count = min(self.capacity, self._count + arrivals)
        return slots

    def _biased_slots(self, arrivals: int) -> IntArray:
        slots = np.empty(arrivals, dtype=np.int64)
        chance = self._random.random((arrivals, 2))
        for index in range(arrivals):
            if chance[index, 0] < self._count / self.capacity:
                slots[index] = int(chance[index, 1] * self._count)
            else:
                slots[index] = self._count
                self._count += 1
        self._seen += arrivals
        return slots

    def contents(self) -> Examples:
        """Return a copy of the sample, in no particular order."""
        return self._held.take(slice(0, self._count)).take(np.arange(self._count))

    def state(self) -> dict[str, Any]:
        """Return, as plain values, what ``restore`` needs beside the contents."""
        return {"seen": self._seen, "random": self._random.bit_generator.state}

    def restore(self, contents: Examples, state: dict[str, Any]) -> None:
        """Go on from a saved sample; more rows than there is room for are cut off."""
        kept = contents.take(slice(0, self.capacity))
        for name, column in arrays_of(self._held).items():
            column[: len(kept)] = getattr(kept, name)
        self._count = len(kept)
        self._seen = max(int(state["seen"]), self._count) if len(kept) == len(contents) else self._count
        self._random.bit_generator.state = state["random"]
