"""A recording as it would come from a topic: raw records in slices, on a clock of its own."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from service.records import Examples, Partition, RecordBatch
from service.settings import Settings
from service.table_events import to_events
from service.tables import Row, Table

SOURCE = Partition("replay", 0)

STEADY_EVENTS = 5
"""The clock stands at the median time of so many newest events: one wild ``ts`` does not carry it away."""

_encode = msgspec.json.Encoder().encode


class Clock:
    """Virtual time in milliseconds: it follows the events' ``ts``, else every event takes 1 / ``rate`` seconds.

    ``timed`` tells whether any event bore one. Time never goes back. A recording without ``ts`` begins at 0, which is
    the beginning of 1970.
    """

    def __init__(self, rate: float) -> None:
        self._step_ms = 1_000 / rate
        self._now_ms = 0.0
        self.timed = False

    @property
    def now_ms(self) -> int:
        """The present."""
        return int(self._now_ms)

    @property
    def now_seconds(self) -> float:
        """The present in seconds, as triggers count it."""
        return self._now_ms / 1_000

    def pass_over(self, events: Sequence[dict[str, Any]]) -> list[int]:
        """Return the time of each event in case that it bears none, and let those without one take their time."""
        times = []
        for event in events:
            if event.get("ts") is None:
                self._now_ms += self._step_ms
            else:
                self.timed = True
            times.append(int(self._now_ms))
        return times

    def follow(self, accepted: Examples) -> None:
        """Go on to the time of the newest accepted events."""
        if len(accepted):
            self._now_ms = max(self._now_ms, float(np.median(accepted.timestamps_ms[-STEADY_EVENTS:])))


class Recording:
    """A data file's rows as the records of one partition, whose offsets are the rows, counted from 0."""

    def __init__(self, table: Table, settings: Settings, clock: Clock) -> None:
        self.table = table
        self.clock = clock
        self.rows = 0
        self._settings = settings
        self._left: Iterator[Row] = iter(table)

    def take(self, most: int) -> RecordBatch | None:
        """Return the next rows, ``most`` of them where there are so many, and None at the end; raises TableError."""
        events = to_events(list(islice(self._left, most)), self._settings)
        if not events:
            return None
        rows, first = len(events), self.rows
        self.rows += rows
        offsets = np.arange(first, first + rows, dtype=np.int64)
        times = np.array(self.clock.pass_over(events), dtype=np.int64)
        return RecordBatch(SOURCE, offsets, times, [encoded(event) for event in events], [None] * rows, [()] * rows)


def encoded(event: dict[str, Any]) -> bytes:
    """Return an event as JSON, with NaN and infinities as Python spells them, for ingest to refuse."""
    try:
        fast = _encode(event)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return _slowly(event)
    return _slowly(event) if b"null" in fast else fast  # msgspec writes null for what is not finite


def _slowly(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), default=str).encode()
