"""Sends a data file's rows into the configured topic, evenly paced."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from service.errors import SourceRefusedError, SourceUnavailableError, TableError
from service.ingest.connect import open_sink
from service.ingest.source import EventSink
from service.settings import Settings
from service.table_events import check_columns, to_event
from service.tables import SUFFIXES, read_table

FLUSH_SECONDS = 0.05
"""Time between two flushes: before one nothing is durable nor, in the embedded log, to be read."""
FLUSH_EVENTS = 5_000
PACE_SECONDS = 0.005
"""Events due within so long are sent together: a sleep is no more precise."""
PATIENCE_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0

T = TypeVar("T")
Progress = Callable[[int, float], None]
"""Called with the events sent so far and the share of the file read, 0 to 1."""

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sent:
    """What came of a file: events that the topic took, how many it did not take and why, and how long it all took."""

    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def events_per_second(self) -> float:
        """The rate over the whole file."""
        return self.events / self.seconds if self.seconds else 0.0


def send_file(
    path: Path,
    settings: Settings,
    *,
    rate: float | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    progress: Progress = lambda _events, _share: None,
) -> Sent:
    """Send every row as an event: ``rate`` a second, or as fast as they are taken.

    An event without ``id`` gets ``<file>-<row>``, one without ``ts`` the time of sending. Raises TableError for the
    file, SourceUnavailableError when the topic stays away for ``patience_seconds``, and SourceRefusedError at once.
    """
    table = read_table(path)
    check_columns(table, settings)
    stem = _stem(path)
    outbox = Outbox(open_sink(settings), settings.source.topic, patience_seconds)
    started = time.monotonic()
    try:
        for index, row in enumerate(table):
            if rate is not None:
                outbox.wait_until(started + index / rate)
            event = to_event(row, settings)
            event.setdefault("id", f"{stem}-{row.number}")
            event.setdefault("ts", time.time_ns() // 1_000_000)
            outbox.put(event)
            if outbox.is_due():
                outbox.flush()
                progress(outbox.sent.events, table.share_read)
        outbox.flush()
    except TableError as error:
        outbox.flush()
        raise TableError(f"{error}; the {outbox.sent.events:,} events of the rows before it were sent") from None
    finally:
        outbox.sink.close()
    outbox.sent.seconds = time.monotonic() - started
    progress(outbox.sent.events, 1.0)
    return outbox.sent


class Outbox:
    """Events on their way into a sink, flushed every few milliseconds."""

    def __init__(self, sink: EventSink, topic: str, patience_seconds: float) -> None:
        self.sink = sink
        self.sent = Sent()
        self._topic = topic
        self._patience_seconds = patience_seconds
        self._waiting = 0
        self._flushed_at = time.monotonic()

    def put(self, event: dict[str, Any]) -> None:
        """Queue one event; NaN and infinities go out as Python spells them, for ingest to refuse."""
        value = json.dumps(event, separators=(",", ":"), default=str).encode()
        key = str(event["id"]).encode(errors="backslashreplace")
        patiently(lambda: self.sink.send(self._topic, value, key=key), self._patience_seconds)
        self._waiting += 1

    def is_due(self) -> bool:
        """Tell whether what waits should be flushed now."""
        return self._waiting >= FLUSH_EVENTS or time.monotonic() - self._flushed_at >= FLUSH_SECONDS

    def flush(self) -> None:
        """Wait until everything queued is durable, and count it."""
        refused = patiently(self.sink.flush, self._patience_seconds)
        self.sent.events += self._waiting - len(refused)
        self.sent.refused.update(refused.values())
        self._waiting = 0
        self._flushed_at = time.monotonic()

    def wait_until(self, due: float) -> None:
        """Sleep until an event is due; flush first what would otherwise wait too long."""
        ahead_seconds = due - time.monotonic()
        if ahead_seconds < PACE_SECONDS:
            return
        if self._waiting and (ahead_seconds > FLUSH_SECONDS or self.is_due()):
            self.flush()
        time.sleep(max(0.0, due - time.monotonic()))


def patiently(action: Callable[[], T], patience_seconds: float) -> T:
    """Try again while the topic is away, saying so once; a refusal, and what it says at patience's end, is raised."""
    deadline = time.monotonic() + patience_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    first = True
    while True:
        try:
            return action()
        except SourceRefusedError:
            raise  # waiting cures none of these
        except SourceUnavailableError as error:
            if time.monotonic() + pause_seconds > deadline:
                raise
            if first:
                seconds = patience_seconds if math.isfinite(patience_seconds) else None  # JSON knows no infinity
                logger.warning("topic is away; trying again", seconds=seconds, problem=str(error))
                first = False
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


def _stem(path: Path) -> str:
    name = path.name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]
