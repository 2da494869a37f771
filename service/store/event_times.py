"""Times of many events in bounded size: each in milliseconds while there is room, the older the coarser beyond."""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from service.records import FloatArray, IntArray

MOST_ENTRIES = 512
"""Distinct times that are kept at most; four a doubling of age would do with 304 for any times there are."""

EXACT_BITS = 12
LEAST_BITS = 3
"""Of an age in milliseconds so many leading bits are kept: at best 12, exact below 4 s, and never fewer than 3."""

_ENTRY_BYTES = 16


@dataclass(frozen=True, slots=True)
class EventTimes:
    """When events happened: ``stamps`` [n] int64, ascending, in ms since 1970; ``counts`` [n] int64, events at each."""

    stamps: IntArray
    counts: IntArray

    def __len__(self) -> int:
        return len(self.stamps)

    @classmethod
    def of(cls, stamps: IntArray) -> Self:
        """Return the times of single events, in any order."""
        return cls(*np.unique(np.asarray(stamps, dtype=np.int64), return_counts=True))

    @classmethod
    def merged(cls, parts: Iterable["EventTimes"]) -> Self:
        """Return the times of all events of all parts."""
        nothing = np.empty(0, dtype=np.int64)
        known = list(parts)
        stamps, places = np.unique(np.concatenate([nothing, *(one.stamps for one in known)]), return_inverse=True)
        counts = np.zeros(len(stamps), dtype=np.int64)
        np.add.at(counts, places, np.concatenate([nothing, *(one.counts for one in known)]))
        return cls(stamps, counts)

    @property
    def events(self) -> int:
        """How many events these are the times of."""
        return int(self.counts.sum())

    def bounded(self, now_ms: int, most: int = MOST_ENTRIES) -> "EventTimes":
        """Return at most so many entries, 304 or more: neighbours share one, at their mean, as if they were one event.

        What is kept is how old the events are at ``now_ms``: as many leading bits of that age as there is room for, and
        so the newest are told apart best. With the least of three bits an age is wrong by less than a quarter.
        """
        if len(self) <= most:
            return self
        ages = now_ms - self.stamps
        lengths = np.frexp(np.abs(ages).astype(np.float64))[1]
        for bits in range(EXACT_BITS, LEAST_BITS - 1, -1):
            cells = np.where(ages < 0, -1, 1) * (np.abs(ages) >> np.maximum(lengths - bits, 0))
            # The cell of an age is its leading bits and how many others follow.
            begins = np.flatnonzero((np.diff(cells) != 0) | (np.diff(np.maximum(lengths - bits, 0)) != 0)) + 1
            if len(begins) < most:
                break
        return self._grouped(np.concatenate([[0], begins]))

    def ages(self, at_seconds: float) -> FloatArray:
        """Return how old the events of each entry [n] are at a Unix time, in seconds; 0 for those of the future."""
        return np.maximum(at_seconds - self.stamps / 1_000, 0.0)

    def encoded(self) -> str:
        """Return all as short text, for ``decoded``."""
        columns = np.concatenate([np.diff(self.stamps, prepend=0), self.counts])
        return base64.b64encode(zlib.compress(columns.astype("<i8").tobytes(), 9)).decode("ascii")

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Return what was encoded; raises ValueError for a text that cannot have been, or holds too much."""
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(base64.b64decode(text, validate=True), MOST_ENTRIES * _ENTRY_BYTES)
        except (ValueError, zlib.error) as error:
            message = f"no event times: {error}"
            raise ValueError(message) from None
        columns = np.frombuffer(data[: len(data) // 8 * 8], dtype="<i8").astype(np.int64)
        half = len(columns) // 2
        stamps, counts = np.cumsum(columns[:half]), columns[half:]
        if not unpacker.eof or len(data) % _ENTRY_BYTES or (counts < 1).any() or (columns[1:half] < 1).any():
            message = "no event times: cut off, too many, or not ascending"
            raise ValueError(message)
        return cls(stamps, counts)

    def _grouped(self, begins: IntArray) -> "EventTimes":
        """Return one entry for each run of entries; ``begins`` [k] are their first places."""
        counts = np.add.reduceat(self.counts, begins)
        first = self.stamps[begins]
        # Floats: milliseconds of decades times millions of events are too much for whole numbers.
        behind = (self.stamps - np.repeat(first, np.diff(begins, append=len(self)))) * self.counts.astype(np.float64)
        return type(self)(first + np.rint(np.add.reduceat(behind, begins) / counts).astype(np.int64), counts)


NO_TIMES = EventTimes(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
