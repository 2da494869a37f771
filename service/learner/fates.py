"""What became of every offset that was taken in, as runs; learnable ones stay open until a round or eviction.

Learnable events are numbered in order of arrival. The window holds the newest of them, so a round trains on an interval
of numbers, and what falls between two rounds' intervals has left the window unlearnt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import FATES, REWOUND, BoolArray, IntArray, Partition

LEARNABLE, HELD_OUT, DEAD_LETTERED, ROLLED_BACK, EVICTED_UNLEARNT, NO_RECORD = range(len(FATES))

NOBODY = -1
"""In the place of a partition's index: an event of the window whose offset was given to another record since."""

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Runs:
    """Consecutive offsets of one fate, n runs in order of arrival.

    ``sources`` [n] int64, an index into the list of partitions; ``fates`` [n] int64, an index into ``records.FATES``,
    or REWOUND;
    ``first`` and ``last`` [n] int64, both included.
    """

    sources: IntArray
    fates: IntArray
    first: IntArray
    last: IntArray

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: slice | BoolArray) -> "Runs":
        """Return the chosen runs."""
        return Runs(self.sources[rows], self.fates[rows], self.first[rows], self.last[rows])

    @classmethod
    def concatenate(cls, parts: Sequence["Runs"]) -> "Runs":
        """Return all runs in order."""
        empty = np.empty(0, dtype=np.int64)
        columns = ("sources", "fates", "first", "last")
        return cls(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in columns))

    @property
    def learnable(self) -> IntArray:
        """How many learnable events each run [n] holds."""
        return np.where(self.fates == LEARNABLE, self.last - self.first + 1, 0)


class Fates:
    """Follows offsets from their arrival until their fate is settled.

    Only learnable events are open, and no more of them than fit into the window, as of the last ``drain``.
    ``unlearnt`` counts the events that were evicted unlearnt, as far as drained.
    """

    def __init__(self, window_events: int) -> None:
        self.partitions: list[Partition] = []
        self.unlearnt = 0
        self._window_events = window_events
        self._open: list[Runs] = []
        self._settled: list[Runs] = []
        self._gone: dict[Partition, list[tuple[int, int]]] = {}
        self._arrived = 0  # learnable events since the first open one
        self._marks: list[tuple[int, int]] = []  # settled up to a number, with a fate
        self._in_flight: int | None = None  # the number at which the window of the round in flight begins
        self._covers = 0  # and the one at which it ends

    def add(self, source: Partition, expected: int | None, offsets: IntArray, fates: IntArray) -> None:
        """Take in the fates of a partition's consecutive records; ``expected`` is the offset awaited, None at first.

        Offsets left out between them hold no record, but for those that are known to be ``gone``.
        """
        index = self._index(source)
        before = np.concatenate([offsets[:1] if expected is None else [expected], offsets[:-1] + 1])
        skipped = np.flatnonzero(before < offsets)
        gone = self._gone.pop(source, [])
        if len(skipped):
            for first, last in zip(before[skipped].tolist(), (offsets[skipped] - 1).tolist(), strict=True):
                for begin, end in _without(first, last, gone):
                    self._settled.append(_run(index, NO_RECORD, begin, end))
        runs = joined(Runs(np.full(len(offsets), index), fates, offsets, offsets))
        learnable = runs.fates == LEARNABLE
        self._open.append(runs.take(learnable))
        self._settled.append(runs.take(~learnable))
        self._arrived += int((fates == LEARNABLE).sum())

    def gone(self, source: Partition, first: int, last: int) -> None:
        """Note offsets that the log deleted before they were read: they have no fate."""
        self._gone.setdefault(source, []).append((first, last))

    def rewind(self, source: Partition, first: int, last: int) -> None:
        """Note that the log has gone back, and that what is told so far about these offsets is of former records."""
        if source not in self.partitions:
            return
        index = self.partitions.index(source)
        self._settled.append(_run(index, REWOUND, first, last))
        # Open ones go on counting as events of the window, and are nobody's offsets from here on.
        runs = Runs.concatenate(self._open)
        former = (runs.sources == index) & (runs.last >= first)
        self._open = [Runs(np.where(former, NOBODY, runs.sources), runs.fates, runs.first, runs.last)]
        for begin, end in zip(runs.first[former].tolist(), runs.last[former].tolist(), strict=True):
            if begin < first:
                self._settled.append(_run(index, LEARNABLE, begin, min(end, first - 1)))

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
        return self._arrived - (self._marks[-1][0] if self._marks else 0)

    def drain(self) -> Runs:
        """Return the runs whose fate is settled since the last call; the caller keeps them."""
        evicted = self._arrived - self._window_events
        self._mark(evicted if self._in_flight is None else min(evicted, self._in_flight), EVICTED_UNLEARNT)
        runs = joined(Runs.concatenate(self._open))
        settled, self._settled = self._settled, []
        done = 0
        for until, fate in self._marks:
            head, runs = _split(runs, until - done)
            if fate != LEARNABLE:
                self.unlearnt += until - done
            head = Runs(head.sources, np.full(len(head), fate), head.first, head.last)
            settled.append(head.take(head.sources != NOBODY))
            done = until
        self._forget(done)
        self._open = [runs]
        return joined(Runs.concatenate(settled))

    def snapshot(self) -> tuple[dict[str, Column], dict[str, Any]]:
        """Return what ``restore`` needs; call ``drain`` before. A round in flight counts as given up."""
        runs = Runs.concatenate(self._open)
        arrays = {"sources": runs.sources, "fates": runs.fates, "first": runs.first, "last": runs.last}
        return arrays, {"partitions": [list(one) for one in self.partitions], "unlearnt": self.unlearnt}

    def restore(self, arrays: Mapping[str, Column], state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        runs = Runs(*(np.array(arrays[name], dtype=np.int64) for name in ("sources", "fates", "first", "last")))
        self.partitions = [Partition(topic, number) for topic, number in state["partitions"]]
        self.unlearnt = int(state["unlearnt"])
        self._open, self._arrived = [runs], int(runs.learnable.sum())
        self._marks, self._in_flight = [], None

    def _index(self, source: Partition) -> int:
        if source not in self.partitions:
            self.partitions.append(source)
        return self.partitions.index(source)

    def _mark(self, until: int, fate: int) -> None:
        if until > (self._marks[-1][0] if self._marks else 0):
            self._marks.append((until, fate))

    def _forget(self, settled: int) -> None:
        """Number the events anew, from the first open one."""
        self._arrived -= settled
        self._covers -= settled
        self._marks = []
        if self._in_flight is not None:
            self._in_flight = max(self._in_flight - settled, 0)


def heldout_fates(refused: Sequence[int], heldout: BoolArray, records: int) -> IntArray:
    """Return the fates [records] of a batch: its ``refused`` rows, and of the others whether each is held out."""
    fates = np.full(records, DEAD_LETTERED, dtype=np.int64)
    accepted = np.ones(records, dtype=np.bool_)
    accepted[list(refused)] = False
    fates[accepted] = np.where(heldout, HELD_OUT, LEARNABLE)
    return fates


def joined(runs: Runs) -> Runs:
    """Return the runs, those made one that lie side by side here, follow each other in offset and share a fate."""
    if not len(runs):
        return runs
    same = (runs.sources[1:] == runs.sources[:-1]) & (runs.fates[1:] == runs.fates[:-1])
    begins = np.flatnonzero(np.concatenate([[True], ~(same & (runs.first[1:] == runs.last[:-1] + 1))]))
    ends = np.append(begins[1:], len(runs)) - 1
    return Runs(runs.sources[begins], runs.fates[begins], runs.first[begins], runs.last[ends])


def _run(index: int, fate: int, first: int, last: int) -> Runs:
    return Runs(*(np.array([value], dtype=np.int64) for value in (index, fate, first, last)))


def _without(first: int, last: int, gone: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of ``first`` to ``last``, both included, that lie in none of the spans."""
    for begin, end in sorted(gone):
        if begin > first:
            yield first, min(last, begin - 1)
        first = max(first, end + 1)
        if first > last:
            return
    yield first, last


def _split(runs: Runs, events: int) -> tuple[Runs, Runs]:
    """Return the runs up to the n-th learnable event, it included, and the rest; a run is cut where it must be."""
    total = np.cumsum(runs.learnable)
    at = int(np.searchsorted(total, events))
    if at == len(runs):
        return runs, runs.take(slice(0, 0))
    excess = int(total[at]) - events
    head, tail = runs.take(slice(0, at + 1)), runs.take(slice(at + (excess == 0), None))
    if excess:
        border = int(runs.last[at]) - excess
        head = Runs(head.sources, head.fates, head.first, np.append(head.last[:-1], border))
        tail = Runs(tail.sources, tail.fates, np.append(border + 1, tail.first[1:]), tail.last)
    return head, tail
