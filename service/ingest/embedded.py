"""The embedded log: topics in one SQLite file, durable, shared by the processes of one machine."""

import sqlite3
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import structlog

from service.ingest.log_file import LogFile
from service.ingest.source import TOO_LARGE, Gap, between
from service.records import Header, Partition, Positions, RecordBatch

log = structlog.get_logger(__name__)

POLL_BYTES = 16 * 2**20
ROWS_AT_ONCE = 128
ROW_OVERHEAD_BYTES = 1_024
SHORTEST_SLEEP_SECONDS = 0.001
LONGEST_SLEEP_SECONDS = 0.02

_decode_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode
_encode_headers = msgspec.msgpack.Encoder().encode


class EmbeddedSource:
    """An EventSource over some topics of the file; the only partition of each is 0.

    ``poll`` and ``commit`` make a file that is missing; ``committed`` and ``ends`` only look.
    """

    def __init__(self, path: Path, topics: Sequence[str], group: str) -> None:
        self._log = LogFile(path)
        self._sources = deque(Partition(topic, 0) for topic in topics)
        self._group = group
        self._positions: dict[Partition, int] = {}
        self._lag: dict[Partition, int] = {}
        self._gaps: dict[Partition, list[Gap]] = {}

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records, fewer when they are large."""
        deadline = time.monotonic() + timeout_seconds
        pause = SHORTEST_SLEEP_SECONDS
        while True:
            batches = self._read_all(max_events)
            if batches:
                self._sources.rotate(-1)  # no topic comes first each time
                return batches
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_SLEEP_SECONDS)

    def positions(self) -> dict[Partition, int]:
        """Return the offset of the next record of each topic, once it is known."""
        return dict(self._positions)

    def topics(self) -> dict[str, str]:
        """Return nothing: a topic in a file is never made anew."""
        return {}

    def seek(self, positions: Positions, topics: Mapping[str, str] = MappingProxyType({})) -> None:  # noqa: ARG002
        """Go on from these offsets, or from the beginning."""
        self._positions = {source: positions[source] for source in self._sources if source in positions}
        self._lag.clear()

    def commit(self, positions: Positions) -> None:
        """Write the positions down under the group's name."""
        rows = [(self._group, at.topic, offset) for at, offset in positions.items() if at in self._sources]
        if rows:
            with self._log.transaction() as connection:
                connection.executemany("INSERT OR REPLACE INTO committed VALUES (?, ?, ?)", rows)

    def committed(self) -> dict[Partition, int]:
        """Return the positions that the group wrote down last."""
        query = 'SELECT topic, "offset" FROM committed WHERE "group" = ?'
        with self._log.existing() as connection:
            rows = connection.execute(query, (self._group,)).fetchall() if connection else []
        found = {Partition(topic, 0): offset for topic, offset in rows}
        return {source: found[source] for source in self._sources if source in found}

    def ends(self) -> dict[Partition, int]:
        """Return the offset that the next record appended to each topic will get."""
        with self._log.existing() as connection:
            return {at: self._bounds(connection, at)[1] if connection else 0 for at in self._sources}

    def lag(self) -> dict[Partition, int]:
        """Return how many records waited at the last poll."""
        return dict(self._lag)

    def gaps(self) -> dict[Partition, list[Gap]]:
        """Return, once each, which offsets were gone before they could be read."""
        gaps, self._gaps = self._gaps, {}
        return gaps

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _read_all(self, max_events: int) -> list[RecordBatch]:
        found: list[tuple[Partition, int, int, list[tuple[Any, ...]]]] = []
        # All is read before any position moves: when a later topic fails, the same poll can be tried again.
        for source in self._sources:
            with self._log.connection() as connection:
                first, end = self._bounds(connection, source)
                position = self._reachable(source, first, end)
                rows = self._read(connection, source, position, max_events) if position < end and max_events else []
            max_events -= len(rows)
            found.append((source, position, end, rows))
        self._lag = {source: end - position for source, position, end, _ in found}
        return [self._batch(source, position, rows) for source, position, _, rows in found if rows]

    def _bounds(self, connection: sqlite3.Connection, source: Partition) -> tuple[int, int]:
        query = (
            'SELECT (SELECT min("offset") FROM records WHERE topic = :topic),'
            " (SELECT next_offset FROM topics WHERE topic = :topic)"
        )
        first, end = connection.execute(query, {"topic": source.topic}).fetchone()
        end = end or 0
        return (end if first is None else first), end

    def _reachable(self, source: Partition, first: int, end: int) -> int:
        position = self._positions.setdefault(source, first)
        nearest = min(max(position, first), end)
        if nearest != position:
            log.warning(
                "records to be read next are gone from the log",
                topic=source.topic,
                position=position,
                first=first,
                end=end,
            )
            self._gaps.setdefault(source, []).append(between(position, nearest))
            self._positions[source] = nearest
        return nearest

    @staticmethod
    def _read(
        connection: sqlite3.Connection, source: Partition, position: int, max_events: int
    ) -> list[tuple[Any, ...]]:
        query = (
            'SELECT "offset", timestamp_ms, key, value, headers FROM records'
            ' WHERE topic = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?'
        )
        cursor = connection.execute(query, (source.topic, position, max_events))
        rows, size = [], 0
        while size < POLL_BYTES and (some := cursor.fetchmany(ROWS_AT_ONCE)):
            rows += some
            size += sum(len(value) for _, _, _, value, _ in some if value is not None)
        cursor.close()
        return rows

    def _batch(self, source: Partition, position: int, rows: list[tuple[Any, ...]]) -> RecordBatch:
        offsets, timestamps, keys, values, headers = zip(*rows, strict=True)
        following = offsets[-1] + 1
        if following - position > len(rows):
            expected = (position, *(offset + 1 for offset in offsets[:-1]))
            holes = [between(*at) for at in zip(expected, offsets, strict=True) if at[0] != at[1]]
            self._gaps.setdefault(source, []).extend(holes)
        self._positions[source] = following
        self._lag[source] = max(self._lag[source] - (following - position), 0)
        return RecordBatch(
            source=source,
            offsets=np.array(offsets, dtype=np.int64),
            timestamps_ms=np.array(timestamps, dtype=np.int64),
            values=values,
            keys=keys,
            headers=[() if packed is None else _decode_headers(packed) for packed in headers],
        )


class EmbeddedSink:
    """An EventSink that appends to the file: all records of one flush in one transaction."""

    def __init__(self, path: Path) -> None:
        self._log = LogFile(path)
        self._queue: list[tuple[str, bytes | None, bytes | None, bytes | None]] = []

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[Header] = ()
    ) -> None:
        """Queue one record."""
        self._queue.append((topic, key, value, _encode_headers(list(headers)) if headers else None))

    def flush(self, timeout_seconds: float = 30.0) -> Mapping[int, str]:  # noqa: ARG002 - the file answers or fails
        """Append what was queued, in one transaction."""
        if not self._queue:
            return {}
        failed: dict[int, str] = {}
        now_ms = int(time.time() * 1000)
        with self._log.transaction() as connection:
            most_bytes = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - ROW_OVERHEAD_BYTES
            following: dict[str, int] = {}
            for index, (topic, key, value, headers) in enumerate(self._queue):
                if len(value or b"") + len(key or b"") + len(headers or b"") > most_bytes:
                    failed[index] = TOO_LARGE
                    continue
                if topic not in following:
                    following[topic] = self._next_offset(connection, topic)
                row = (topic, following[topic], now_ms, key, value, headers)
                connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
                following[topic] += 1
            connection.executemany("INSERT OR REPLACE INTO topics VALUES (?, ?)", following.items())
        self._queue.clear()
        return failed

    def close(self) -> None:
        """Close the file and forget what was not flushed."""
        self._queue.clear()
        self._log.close()

    @staticmethod
    def _next_offset(connection: sqlite3.Connection, topic: str) -> int:
        row = connection.execute("SELECT next_offset FROM topics WHERE topic = ?", (topic,)).fetchone()
        return 0 if row is None else int(row[0])
