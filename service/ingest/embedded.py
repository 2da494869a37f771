"""The embedded log: topics in one SQLite file, durable, shared by the processes of one machine."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from service.ingest.log_file import LogFile
from service.ingest.source import TOO_LARGE
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
    """An EventSource over one topic of the file; its only partition is 0.

    ``poll`` and ``commit`` make a file that is missing; ``committed`` and ``ends`` only look.
    """

    def __init__(self, path: Path, topic: str, group: str) -> None:
        self._log = LogFile(path)
        self._source = Partition(topic, 0)
        self._group = group
        self._position: int | None = None
        self._lag: int | None = None
        self._gap = 0

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records, fewer when they are large."""
        deadline = time.monotonic() + timeout_seconds
        pause = SHORTEST_SLEEP_SECONDS
        while True:
            with self._log.connection() as connection:
                first, end = self._bounds(connection)
                position = self._reachable(first, end)
                rows = self._read(connection, position, max_events) if position < end else []
            self._lag = end - position
            if rows:
                return [self._batch(position, rows)]
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_SLEEP_SECONDS)

    def positions(self) -> dict[Partition, int]:
        """Return the offset of the next record, once it is known."""
        return {} if self._position is None else {self._source: self._position}

    def seek(self, positions: Positions) -> None:
        """Go on from this offset, or from the beginning."""
        self._position = positions.get(self._source)
        self._lag = None

    def commit(self, positions: Positions) -> None:
        """Write the position down under the group's name."""
        if self._source not in positions:
            return
        with self._log.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO committed VALUES (?, ?, ?)",
                (self._group, self._source.topic, positions[self._source]),
            )

    def committed(self) -> dict[Partition, int]:
        """Return the position that the group wrote down last."""
        query = 'SELECT "offset" FROM committed WHERE "group" = ? AND topic = ?'
        with self._log.existing() as connection:
            if connection is None:
                return {}
            row = connection.execute(query, (self._group, self._source.topic)).fetchone()
        return {} if row is None else {self._source: row[0]}

    def ends(self) -> dict[Partition, int]:
        """Return the offset that the next appended record will get."""
        with self._log.existing() as connection:
            _, end = self._bounds(connection) if connection else (0, 0)
        return {self._source: end}

    def lag(self) -> dict[Partition, int]:
        """Return how many records waited at the last poll."""
        return {} if self._lag is None else {self._source: self._lag}

    def gaps(self) -> dict[Partition, int]:
        """Return, once, how many records were gone before they could be read."""
        gap, self._gap = self._gap, 0
        return {self._source: gap} if gap else {}

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _bounds(self, connection: sqlite3.Connection) -> tuple[int, int]:
        query = (
            'SELECT (SELECT min("offset") FROM records WHERE topic = :topic),'
            " (SELECT next_offset FROM topics WHERE topic = :topic)"
        )
        first, end = connection.execute(query, {"topic": self._source.topic}).fetchone()
        end = end or 0
        return (end if first is None else first), end

    def _reachable(self, first: int, end: int) -> int:
        if self._position is None:
            self._position = first
        nearest = min(max(self._position, first), end)
        if nearest != self._position:
            log.warning(
                "records to be read next are gone from the log",
                topic=self._source.topic,
                position=self._position,
                first=first,
                end=end,
            )
            self._gap += abs(nearest - self._position)
            self._position = nearest
        return nearest

    def _read(self, connection: sqlite3.Connection, position: int, max_events: int) -> list[tuple[Any, ...]]:
        query = (
            'SELECT "offset", timestamp_ms, key, value, headers FROM records'
            ' WHERE topic = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?'
        )
        cursor = connection.execute(query, (self._source.topic, position, max_events))
        rows, size = [], 0
        while size < POLL_BYTES and (some := cursor.fetchmany(ROWS_AT_ONCE)):
            rows += some
            size += sum(len(value) for _, _, _, value, _ in some if value is not None)
        cursor.close()
        return rows

    def _batch(self, position: int, rows: list[tuple[Any, ...]]) -> RecordBatch:
        offsets, timestamps, keys, values, headers = zip(*rows, strict=True)
        following = offsets[-1] + 1
        self._gap += following - position - len(rows)
        self._position = following
        self._lag = max((self._lag or 0) - (following - position), 0)
        return RecordBatch(
            source=self._source,
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
