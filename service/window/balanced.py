"""A replay memory in which rare classes have as much room as common ones."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import Examples, FloatArray, IntArray
from service.window.reservoirs import OUTSIDE, Reservoir

NO_CLASS = -1


class ClassBalancedReservoir(Reservoir):
    """Holds as many of each class as it can, and of each class a uniform sample.

    Class-balancing reservoir sampling (Chrysakis & Moens 2020, "Online continual learning from imbalanced data",
    algorithm 1): a class that was the largest once is *full*. An arrival of a class that is not replaces a random one
    of the largest class; one of a full class replaces one of its own, with the chance of Vitter's reservoir.
    """

    selection = "class_balanced"

    def __init__(self, capacity: int, numbers: int, codes: int, seed: int) -> None:
        super().__init__(capacity, numbers, codes, seed)
        self._classes = np.full(capacity, NO_CLASS, dtype=np.int64)
        self._held_of: Counter[int] = Counter()
        self._seen_of: Counter[int] = Counter()
        self._full: set[int] = set()

    def _slots(self, arrived: Examples, losses: FloatArray) -> IntArray:  # noqa: ARG002 - labels are all it looks at
        classes = arrived.targets.astype(np.int64)
        chance = self._random.random((len(classes), 2))
        slots = np.full(len(classes), OUTSIDE, dtype=np.int64)
        seen = self._seen_with(classes)
        # What a full class holds only shrinks, so whoever does not enter by what it holds now will not do so later:
        # the loop is over the others, whose share falls as the stream goes on.
        looked_at = np.ones(len(classes), dtype=np.bool_)
        if self._count == self.capacity:
            for label in self._full:
                looked_at &= (classes != label) | (chance[:, 0] * seen <= self._held_of[label])
        for row in np.flatnonzero(looked_at).tolist():
            slots[row] = self._slot(int(classes[row]), int(seen[row]), chance[row, 0], chance[row, 1])
        self._seen_of.update(classes.tolist())
        return slots

    def _slot(self, label: int, seen: int, enters: float, which: float) -> int:
        if self._count < self.capacity:
            slot = self._count
            self._count += 1
            self._held_of[label] += 1
            self._mark_full()
        elif label not in self._full:
            largest = max(self._held_of, key=lambda one: (self._held_of[one], -one))
            slot = self._random_slot(largest, which)
            self._held_of[largest] -= 1
            self._held_of[label] += 1
            self._mark_full()
        elif enters * seen <= self._held_of[label] and self._held_of[label]:
            slot = self._random_slot(label, which)
        else:
            return OUTSIDE
        self._classes[slot] = label
        return slot

    def _random_slot(self, label: int, which: float) -> int:
        return int(np.flatnonzero(self._classes == label)[int(which * self._held_of[label])])

    def _mark_full(self) -> None:
        """Note which classes are the largest; while there is room none has had to give way yet."""
        if self._count == self.capacity:
            most = max(self._held_of.values())
            self._full.update(label for label, held in self._held_of.items() if held == most)

    def _seen_with(self, classes: IntArray) -> IntArray:
        """Return how many of each arrival's class were offered by then [n], itself included."""
        order = np.argsort(classes, kind="stable")
        ranked = classes[order]
        begins = np.flatnonzero(np.diff(ranked, prepend=ranked[0] - 1))
        lengths = np.diff(np.append(begins, len(ranked)))
        before = np.array([self._seen_of[label] for label in ranked[begins].tolist()])
        seen = np.empty(len(classes), dtype=np.int64)
        seen[order] = np.arange(len(ranked)) - np.repeat(begins - before, lengths) + 1
        return seen

    def state(self) -> dict[str, Any]:
        """Return, as plain values, what ``restore`` needs beside the contents."""
        seen = sorted([label, events] for label, events in self._seen_of.items())
        return super().state() | {"seen_of": seen, "full": sorted(self._full)}

    def _resume(self, state: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:  # noqa: ARG002
        self._classes[: self._count] = self._held.targets[: self._count].astype(np.int64)
        self._classes[self._count :] = NO_CLASS
        self._held_of = Counter(self._classes[: self._count].tolist())
        self._seen_of = Counter({int(label): int(events) for label, events in state["seen_of"]})
        self._full = {int(label) for label in state["full"]}
