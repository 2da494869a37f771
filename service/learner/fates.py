"""What became of every offset that was taken in, as runs; learnable ones stay open until a round or eviction.

Learnable events are numbered in order of arrival. The window holds the newest of them, so a round trains on an interval
of numbers, and what falls between two rounds' intervals has left the window unlearnt. As long as learning may still be
rolled back to a ``Moment``, nothing is settled that was open then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.learner.runs import (
    EVICTED_UNLEARNT,
    HELD_OUT,
    LEARNABLE,
    NO_RECORD,
    NOBODY,
    ROLLED_BACK,
    Runs,
    joined,
    run_of,
    split,
    without,
)
from service.learner.unserved import Unserved, intervals
from service.records import REWOUND, IntArray, Partition
from service.store.event_times import EventTimes

Column = NDArray[Any]
Mark = tuple[int, int]
"""Learnable events up to a number (excluded), behind those of the mark before it, have this fate."""


@dataclass(frozen=True)
class Moment:
    """Where fates stood, all in numbers of events since the state began.

    ``arrived`` learnable and ``admitted`` (learnable and held-out) ones; up to ``marked`` the fate of learnable events
    was known.
    """

    arrived: int
    admitted: int
    marked: int


class Fates:
    """Follows offsets from their arrival until their fate is settled.

    Open are no more learnable events than fit into the window, as of the last ``drain``, and what may be rolled back.
    ``unlearnt`` counts the events that were evicted unlearnt, as far as drained; ``unserved`` knows when those happened
    that no published checkpoint has learnt from.
    """

    def __init__(self, window_events: int) -> None:
        self.partitions: list[Partition] = []
        self.unserved = Unserved()
        self.unlearnt = 0
        self._window_events = window_events
        self._open: list[Runs] = []
        self._settled: list[Runs] = []
        self._gone: dict[Partition, list[tuple[int, int]]] = {}
        self._done = 0  # the number of the first learnable event that is open
        self._arrived = 0
        self._admitted = 0
        self._marks: list[Mark] = []
        self._in_flight: int | None = None  # the number at which the window of the round in flight begins
        self._covers = 0  # and the one at which it ends

    def add(
        self, source: Partition, expected: int | None, offsets: IntArray, fates: IntArray, stamps_ms: IntArray
    ) -> None:
        """Take in the fates of a partition's consecutive records; ``expected`` is the offset awaited, None at first.

        Offsets left out between them hold no record, but for those that are known to be ``gone``. ``stamps_ms`` are the
        times of the learnable ones alone.
        """
        self.unserved.add(stamps_ms)
        index = self._index(source)
        before = np.concatenate([offsets[:1] if expected is None else [expected], offsets[:-1] + 1])
        skipped = np.flatnonzero(before < offsets)
        gone = self._gone.pop(source, [])
        if len(skipped):
            for first, last in zip(before[skipped].tolist(), (offsets[skipped] - 1).tolist(), strict=True):
                for begin, end in without(first, last, gone):
                    self._settled.append(run_of(index, NO_RECORD, begin, end))
        runs = joined(Runs(np.full(len(offsets), index), fates, offsets, offsets))
        admitted = (runs.fates == LEARNABLE) | (runs.fates == HELD_OUT)
        self._open.append(runs.take(admitted))
        self._settled.append(runs.take(~admitted))
        self._arrived += int(runs.learnable.sum())
        self._admitted += int(runs.sizes[admitted].sum())

    def gone(self, source: Partition, first: int, last: int) -> None:
        """Note offsets that the log deleted before they were read: they have no fate."""
        self._gone.setdefault(source, []).append((first, last))

    def rewind(self, source: Partition, first: int, last: int) -> None:
        """Note that the log has gone back, and that what is told so far about these offsets is of former records."""
        if source not in self.partitions:
            return
        index = self.partitions.index(source)
        self._settled.append(run_of(index, REWOUND, first, last))
        # Open ones go on counting as events of the window, and are nobody's offsets from here on.
        runs = Runs.concatenate(self._open)
        crossing = np.flatnonzero((runs.sources == index) & (runs.first < first) & (runs.last >= first))
        ends = runs.last.copy()
        ends[crossing] = first - 1
        cut = Runs(
            np.insert(runs.sources, crossing + 1, index),
            np.insert(runs.fates, crossing + 1, runs.fates[crossing]),
            np.insert(runs.first, crossing + 1, first),
            np.insert(ends, crossing + 1, runs.last[crossing]),
        )
        former = (cut.sources == index) & (cut.first >= first)
        self._open = [Runs(np.where(former, NOBODY, cut.sources), cut.fates, cut.first, cut.last)]

    def round_began(self, window: int) -> None:
        """Note that a round trains on the newest ``window`` learnable events."""
        self._in_flight, self._covers = max(self._arrived - window, 0), self._arrived

    def round_ended(self, *, learnt: bool) -> None:
        """Note that the round in flight has brought something to learn from, or nothing."""
        if self._in_flight is None:
            return
        if learnt:
            self._mark(self._in_flight, EVICTED_UNLEARNT)
            self._mark(self._covers, LEARNABLE)
        self._in_flight = None

    @property
    def waiting(self) -> int:
        """How many learnable events no round has trained on yet, those of the round in flight included."""
        return self._arrived - self._marked

    def now(self) -> Moment:
        """Return the present moment, to roll back to."""
        self._mark_evicted()
        return Moment(self._arrived, self._admitted, self._marked)

    def roll_back(self, to: Moment, again: int = 0) -> None:
        """Settle what was admitted since a moment as rolled back; rounds since then have learnt nothing.

        The newest ``again`` of these events stay open, as if they had come just now.

        Every ``drain`` since then must have been told to keep that moment. A round in flight is given up.
        """
        runs = Runs.concatenate(self._open)
        since = self._admitted - to.admitted
        kept, undone = split(runs, runs.sizes, int(runs.sizes.sum()) - since)
        undone, newest = split(undone, undone.sizes, since - again)
        self._open = [kept, newest]
        self.unserved.roll_back(to.arrived, int(newest.learnable.sum()))
        undone = Runs(undone.sources, np.full(len(undone), ROLLED_BACK), undone.first, undone.last)
        self._settled.append(undone.take(undone.sources != NOBODY))
        self._arrived, self._admitted = to.arrived + int(newest.learnable.sum()), to.admitted + again
        marks, self._marks = self._marks, []
        for until, fate in marks:
            self._mark(min(until, to.marked), fate)
        self._in_flight = None

    def drain(self, keep: Moment | None = None) -> Runs:
        """Return the runs whose fate is settled since the last call; the caller keeps them.

        Learnable events that were open at the moment to ``keep``, and all that was admitted since, stay so.
        """
        self._mark_evicted()
        runs = joined(Runs.concatenate(self._open))
        final, since = (self._arrived, 0) if keep is None else (keep.marked, self._admitted - keep.admitted)
        head, tail = split(runs, runs.sizes, int(runs.sizes.sum()) - since)
        settled, self._settled = self._settled, []
        for mark, fate in self._marks:
            until = min(mark, final)
            known, head = split(head, head.learnable, until - self._done)
            if fate == EVICTED_UNLEARNT:
                self.unlearnt += max(until - self._done, 0)
            fates = np.where(known.fates == LEARNABLE, fate, known.fates)
            settled.append(Runs(known.sources, fates, known.first, known.last))
            self._done = max(until, self._done)
            self.unserved.settle(self._done, learnt=fate == LEARNABLE)
        waits = head.fates == LEARNABLE
        settled.append(head.take(~waits))
        self._marks = [mark for mark in self._marks if mark[0] > self._done]
        self._open = [head.take(waits), tail]
        told = Runs.concatenate(settled)
        return joined(told.take(told.sources != NOBODY))

    def newly_learnt(self) -> EventTimes:
        """Return when those events happened that what the last round brought would be the first to serve."""
        return self.unserved.cover(intervals(self._done, self._marks, LEARNABLE))

    def snapshot(self) -> tuple[dict[str, Column], dict[str, Any]]:
        """Return what ``restore`` needs, but for ``unserved``; call ``drain`` before.

        A round in flight counts as given up.
        """
        runs = Runs.concatenate(self._open)
        arrays = {"sources": runs.sources, "fates": runs.fates, "first": runs.first, "last": runs.last}
        state = {"partitions": [list(one) for one in self.partitions], "unlearnt": self.unlearnt}
        counts = {"arrived": self._arrived, "admitted": self._admitted, "done": self._done}
        return arrays, state | counts | {"marks": [list(mark) for mark in self._marks]}

    def restore(self, arrays: Mapping[str, Column], state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        runs = Runs(*(np.array(arrays[name], dtype=np.int64) for name in ("sources", "fates", "first", "last")))
        self.partitions = [Partition(topic, number) for topic, number in state["partitions"]]
        self.unlearnt = int(state["unlearnt"])
        self._open, self._in_flight = [runs], None
        # In a state that was saved before anything could be rolled back, numbers begin with what is open.
        self._arrived = int(state.get("arrived", runs.learnable.sum()))
        self._admitted = int(state.get("admitted", runs.sizes.sum()))
        self._done = int(state.get("done", 0))
        self._marks = [(int(until), int(fate)) for until, fate in state.get("marks", ())]
        self.unserved.begin_at(self._arrived)

    def _index(self, source: Partition) -> int:
        if source not in self.partitions:
            self.partitions.append(source)
        return self.partitions.index(source)

    @property
    def _marked(self) -> int:
        return self._marks[-1][0] if self._marks else self._done

    def _mark_evicted(self) -> None:
        evicted = self._arrived - self._window_events
        self._mark(evicted if self._in_flight is None else min(evicted, self._in_flight), EVICTED_UNLEARNT)

    def _mark(self, until: int, fate: int) -> None:
        if until > self._marked:
            if self._marks and self._marks[-1][1] == fate:
                self._marks.pop()
            self._marks.append((until, fate))
