"""Samples of bounded size from a stream that does not end: what they share, and the two that look at no event."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from service.records import Examples, FloatArray, IntArray
from service.window.rings import Arrays, arrays_of

OUTSIDE = -1
"""In the place of a slot: the arrival does not enter."""


class Reservoir(ABC):
    """At most ``capacity`` of the examples offered so far; which ones is what the selections differ in.

    How arrivals are batched changes nothing: every one draws the same random numbers, alone or among others.
    """

    selection: ClassVar[str]
    """Its name in ``window.replay_selection``."""

    def __init__(self, capacity: int, numbers: int, codes: int, seed: int) -> None:
        self.capacity = capacity
        self._held = Examples.empty(numbers, codes, capacity)
        self._count = 0
        self._seen = 0
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self._count

    def append(self, arrived: Examples, losses: FloatArray | None = None) -> None:
        """Offer examples, oldest first, with what each cost the model that served when it arrived [n], NaN unknown."""
        if not len(arrived) or not self.capacity:
            return
        slots = self._slots(arrived, np.full(len(arrived), np.nan) if losses is None else losses)
        entering = slots != OUTSIDE
        # Where two arrivals chose one slot, numpy keeps the later, as one after the other would have done.
        for name, column in arrays_of(self._held).items():
            column[slots[entering]] = getattr(arrived, name)[entering]
        self._seen += len(arrived)

    @abstractmethod
    def _slots(self, arrived: Examples, losses: FloatArray) -> IntArray:
        """Return the slot that each arrival [n] takes, or OUTSIDE, and raise ``_count`` by the slots newly taken."""

    def contents(self) -> Examples:
        """Return a copy of the sample, in no particular order."""
        return Examples.concatenate([self._held.take(slice(0, self._count))])

    def state(self) -> dict[str, Any]:
        """Return, as plain values, what ``restore`` needs beside the contents and the columns."""
        return {"selection": self.selection, "seen": self._seen, "random": self._random.bit_generator.state}

    def columns(self) -> Arrays:
        """Return what else is known of each example, in the order of the contents."""
        return {}

    def restore(self, contents: Examples, state: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a saved sample; more rows than there is room for are cut off.

        A sample that another selection drew is offered anew.
        """
        if state.get("selection", self.selection) != self.selection:
            self.append(contents)
            return
        kept = contents.take(slice(0, self.capacity))
        for name, column in arrays_of(self._held).items():
            column[: len(kept)] = getattr(kept, name)
        self._count = len(kept)
        self._seen = max(int(state["seen"]), self._count) if len(kept) == len(contents) else self._count
        self._random.bit_generator.state = state["random"]
        self._resume(state, columns)

    def _resume(self, state: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - some keep none
        """Take over what a selection keeps beside the examples, which are in their slots by now."""


class UniformReservoir(Reservoir):
    """Every example offered has the same chance to be held (Vitter 1985, "Random sampling with a reservoir", R)."""

    selection = "uniform"

    def _slots(self, arrived: Examples, losses: FloatArray) -> IntArray:  # noqa: ARG002 - looks at no event
        # Free slots first: there are some at the beginning, and after the capacity was raised between two runs.
        following = self._count + np.arange(len(arrived))
        order = self._seen + np.arange(len(arrived))
        drawn = (self._random.random(len(arrived)) * (order + 1)).astype(np.int64)
        slots = np.where(following < self.capacity, following, np.where(drawn < self.capacity, drawn, OUTSIDE))
        self._count = min(self.capacity, self._count + len(arrived))
        return slots


class RecentBiasedReservoir(Reservoir):
    """The chance to be held falls exponentially with age, over about ``capacity`` arrivals.

    Each arrival enters, and at probability held / capacity it replaces a random one (Aggarwal 2006, "On biased
    reservoir sampling in the presence of stream evolution", algorithm 2.1).
    """

    selection = "recent_biased"

    def _slots(self, arrived: Examples, losses: FloatArray) -> IntArray:  # noqa: ARG002 - looks at no event
        chance = self._random.random((len(arrived), 2))
        # Only an arrival beyond the share that is held by now can add to it: a loop over those ends with the filling.
        adds = np.zeros(len(arrived), dtype=np.int64)
        count = self._count
        for row in np.flatnonzero(chance[:, 0] >= count / self.capacity).tolist():
            if chance[row, 0] >= count / self.capacity:
                adds[row] = 1
                count += 1
        before = self._count + np.cumsum(adds) - adds
        self._count = count
        return np.where(adds == 1, before, (chance[:, 1] * before).astype(np.int64))
