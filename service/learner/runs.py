"""Runs of offsets that share a fate: how the ledger and those who follow offsets write millions of them down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.records import FATES, BoolArray, IntArray

LEARNABLE, HELD_OUT, DEAD_LETTERED, ROLLED_BACK, EVICTED_UNLEARNT, NO_RECORD = range(len(FATES))

NOBODY = -1
"""In the place of a partition's index: an event of the window whose offset was given to another record since."""


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
        return np.where(self.fates == LEARNABLE, self.sizes, 0)

    @property
    def sizes(self) -> IntArray:
        """How many offsets each run [n] holds."""
        return self.last - self.first + 1


def heldout_fates(refused: Sequence[int], heldout: BoolArray, records: int, undone: int = 0) -> IntArray:
    """Return the fates [records] of a batch: its ``refused`` rows, and of the others whether each is held out.

    The first ``undone`` of the others are rolled back at once.
    """
    fates = np.full(records, DEAD_LETTERED, dtype=np.int64)
    accepted = np.ones(records, dtype=np.bool_)
    accepted[list(refused)] = False
    fates[accepted] = np.where(heldout, HELD_OUT, LEARNABLE)
    fates[np.flatnonzero(accepted)[:undone]] = ROLLED_BACK
    return fates


def joined(runs: Runs) -> Runs:
    """Return the runs, those made one that lie side by side here, follow each other in offset and share a fate."""
    if not len(runs):
        return runs
    same = (runs.sources[1:] == runs.sources[:-1]) & (runs.fates[1:] == runs.fates[:-1])
    begins = np.flatnonzero(np.concatenate([[True], ~(same & (runs.first[1:] == runs.last[:-1] + 1))]))
    ends = np.append(begins[1:], len(runs)) - 1
    return Runs(runs.sources[begins], runs.fates[begins], runs.first[begins], runs.last[ends])


def run_of(index: int, fate: int, first: int, last: int) -> Runs:
    """Return a single run; both offsets are included."""
    return Runs(*(np.array([value], dtype=np.int64) for value in (index, fate, first, last)))


def without(first: int, last: int, gone: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of ``first`` to ``last``, both included, that lie in none of the spans."""
    for begin, end in sorted(gone):
        if begin > first:
            yield first, min(last, begin - 1)
        first = max(first, end + 1)
        if first > last:
            return
    yield first, last


def split(runs: Runs, counts: IntArray, events: int) -> tuple[Runs, Runs]:
    """Return the runs up to the n-th event, it included, and the rest; a run is cut where it must be.

    ``counts`` [runs] tells how many events of each run count: all of its offsets, or none.
    """
    if events <= 0:
        return runs.take(slice(0, 0)), runs
    total = np.cumsum(counts)
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
