"""The times of learnable events that no published checkpoint was trained on yet: what the next one is to tell."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import IntArray
from service.store.event_times import NO_TIMES, EventTimes

MOST_LEARNT = 4_096
"""Distinct times kept of events that were learnt for good while nothing is published, however long that takes."""

NEW, COVERED, SERVED = range(3)
"""How far an event is: not told yet, told by the candidate that is looked at or on its way out, or by a checkpoint."""

Column = NDArray[Any]


class Unserved:
    """Follows times by the numbers that `Fates` gives to learnable events, in order of arrival.

    ``last`` is the newest published checkpoint. What one has told of is told no more, also when it is admitted anew
    after a roll-back.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self._open: list[IntArray] = []
        self._told = np.empty(0, dtype=np.int8)  # how far each of the open ones is; what came since counts as NEW
        self._begin = 0  # the number of the first of the open ones
        self._learnt = NO_TIMES  # of events before those, learnt for good and not told

    def add(self, stamps_ms: IntArray) -> None:
        """Take in the times of the next learnable events [n]."""
        if len(stamps_ms):
            self._open.append(np.array(stamps_ms, dtype=np.int64))

    def settle(self, until: int, *, learnt: bool) -> None:
        """Note that all events before a number are settled: they were learnt for good, or left the window before."""
        gone = until - self._begin
        if gone <= 0:
            return
        stamps, told = self._columns()
        if learnt:
            fresh = EventTimes.of(stamps[:gone][told[:gone] != SERVED])
            self._learnt = EventTimes.merged([self._learnt, fresh]).bounded(_now_ms(), MOST_LEARNT)
        self._open, self._told, self._begin = [stamps[gone:]], told[gone:], until

    def cover(self, learnt: Iterable[tuple[int, int]]) -> EventTimes:
        """Return the times of what a candidate is the first to serve, in bounded size.

        Of the open events those within the intervals ``learnt`` of numbers (from, until) have been learnt.
        """
        stamps, told = self._columns()
        told[told == COVERED] = NEW
        for first, until in learnt:
            part = told[max(first - self._begin, 0) : max(until - self._begin, 0)]
            part[part == NEW] = COVERED
        return EventTimes.merged([self._learnt, EventTimes.of(stamps[told == COVERED])]).bounded(_now_ms())

    def published(self, checkpoint_id: str) -> None:
        """Note that what was last covered serves, as this checkpoint."""
        _, told = self._columns()
        told[told == COVERED] = SERVED
        self.last, self._learnt = checkpoint_id, NO_TIMES

    def roll_back(self, kept: int, again: int) -> None:
        """Note that of all learnable events only the first ``kept`` stay, and the newest ``again`` come anew."""
        stamps, told = self._columns()
        stays = np.ones(len(stamps), dtype=np.bool_)
        stays[max(kept - self._begin, 0) : max(len(stamps) - again, 0)] = False
        self._open, self._told = [stamps[stays]], told[stays]

    def snapshot(self, published: str | None = None) -> tuple[dict[str, Column], dict[str, Any]]:
        """Return what ``restore`` needs; with ``published`` as it is once that checkpoint serves."""
        stamps, told = self._columns()
        served, learnt = told == SERVED, self._learnt
        if published is not None:
            served, learnt = told != NEW, NO_TIMES
        arrays = {"open": stamps, "served": served, "stamps": learnt.stamps, "counts": learnt.counts}
        return arrays, {"begin": self._begin, "last": published or self.last}

    def restore(self, arrays: Mapping[str, Column], state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._open = [np.array(arrays["open"], dtype=np.int64)]
        self._told = np.where(arrays["served"], SERVED, NEW).astype(np.int8)
        self._learnt = EventTimes(*(np.array(arrays[name], dtype=np.int64) for name in ("stamps", "counts")))
        self._begin, self.last = int(state["begin"]), state["last"]

    def begin_at(self, arrived: int) -> None:
        """Go on behind so many events whose times are not known: their snapshot is older than this class."""
        self._open, self._told, self._learnt = [], np.empty(0, dtype=np.int8), NO_TIMES
        self._begin = arrived

    def _columns(self) -> tuple[IntArray, Column]:
        """Return the times of the open events, and how far each is."""
        if len(self._open) != 1:
            self._open = [np.concatenate([NO_TIMES.stamps, *self._open])]
        [stamps] = self._open
        if len(self._told) < len(stamps):
            self._told = np.append(self._told, np.full(len(stamps) - len(self._told), NEW, dtype=np.int8))
        return stamps, self._told


def intervals(begin: int, marks: Sequence[tuple[int, int]], fate: int) -> list[tuple[int, int]]:
    """Return the intervals of numbers, last excluded, that marks behind the number ``begin`` give a fate."""
    begins = [begin, *(until for until, _ in marks)]
    return [(first, until) for first, (until, given) in zip(begins, marks, strict=False) if given == fate]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
