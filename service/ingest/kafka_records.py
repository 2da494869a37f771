"""Records of kafka-python become batches of ours; what it stumbles over is read by hand, or stepped over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from kafka import TopicPartition
from kafka.errors import for_code
from kafka.protocol.consumer import FetchRequest, IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.util import decode_varint

from service.ingest.source import Gap
from service.records import Header, Partition, RecordBatch

log = structlog.get_logger(__name__)

FETCH_BYTES = 2 * 2**20
FETCH_WAIT_MS = 500
FETCH_TIMEOUT_MS = 10_000
NEWEST_FORMAT = 2

Row = tuple[int, int, bytes | None, bytes | None, list[Header]]
"""Offset, timestamp in milliseconds, key, value and headers of one record."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """What reading one batch by hand has come to: records or a gap or neither, and the ``position`` to go on from."""

    position: int
    batch: RecordBatch | None = None
    gap: Gap | None = None


def ours(at: TopicPartition) -> Partition:
    """Return a partition in our vocabulary."""
    return Partition(at.topic, at.partition)


def batch_of(at: TopicPartition, records: list[Any]) -> RecordBatch:
    """Return the polled records of one partition as columns."""
    column = dict(zip(records[0]._fields, zip(*records, strict=True), strict=True))  # records are named tuples
    headers: Sequence[Any] = column["headers"]
    return RecordBatch(
        source=ours(at),
        offsets=np.array(column["offset"], dtype=np.int64),
        timestamps_ms=np.array(column["timestamp"], dtype=np.int64),
        values=column["value"],
        keys=column["key"],
        headers=[_headers(some) for some in headers] if any(headers) else [()] * len(records),
    )


def read_by_hand(network: Any, at: TopicPartition, position: int, most: int) -> ByHand:  # noqa: ANN401
    """Read the batch of records at a position anew, and return up to ``most`` of them.

    kafka-python 3.0 fails at a header whose name is not UTF-8, and at every damaged batch, each time that it comes
    to it: such a partition would never be read on. The first kind is read here, with a replacement character where
    the name is none; the second becomes a gap as long as the batch. Raises KafkaError if no broker answers.
    """
    found = _fetch(network, at, position)
    records = MemoryRecords(found.records)
    batch = records.next_batch()
    following = records.next_batch()
    while following is not None and following.base_offset <= position:
        batch, following = following, records.next_batch()
    if batch is None:
        return ByHand(position)
    end = _end(batch, following, position, found.high_watermark)
    if batch.magic == NEWEST_FORMAT and batch.validate_crc():
        aborted = {each.producer_id for each in found.aborted_transactions or () if each.first_offset <= position}
        if batch.is_control_batch or (batch.is_transactional and batch.producer_id in aborted):
            return ByHand(end)
        try:
            rows = [row for row in _rows(batch) if row[0] >= position]
        except Exception as error:  # noqa: BLE001 - whatever a decompressor says of bytes that it cannot read
            log.debug("a batch of records cannot be read", position=position, error=str(error))
        else:
            taken = rows[:most]
            return ByHand(end if len(taken) == len(rows) else taken[-1][0] + 1, _columns(at, taken) if taken else None)
    return ByHand(end, gap=Gap(position, end - 1, "unreadable"))


def _fetch(network: Any, at: TopicPartition, position: int) -> Any:  # noqa: ANN401
    topic = FetchRequest.FetchTopic
    partition = topic.FetchPartition(
        partition=at.partition,
        current_leader_epoch=-1,
        fetch_offset=position,
        last_fetched_epoch=-1,
        partition_max_bytes=FETCH_BYTES,
    )
    request = FetchRequest(
        max_wait_ms=FETCH_WAIT_MS,
        min_bytes=1,
        max_bytes=FETCH_BYTES,
        isolation_level=IsolationLevel.READ_COMMITTED,
        session_id=0,
        session_epoch=-1,
        topics=[topic(topic=at.topic, partitions=[partition])],
        forgotten_topics_data=[],
        rack_id="",
        min_version=4,
        max_version=12,
    )
    manager = network._manager  # noqa: SLF001
    leader = manager.cluster.leader_for_partition(at)
    [[found]] = [each.partitions for each in manager.run(manager.send, request, leader, FETCH_TIMEOUT_MS).responses]
    if found.error_code:
        raise for_code(found.error_code)
    return found


def _end(batch: Any, following: Any, position: int, newest: int) -> int:  # noqa: ANN401
    """Return the offset behind a batch; what it says itself may be damaged too."""
    if following is not None:
        return max(int(following.base_offset), position + 1)
    end = int(batch.next_offset)
    return end if position < end <= newest else position + 1


def _rows(batch: Any) -> list[Row]:  # noqa: ANN401
    batch._maybe_uncompress()  # noqa: SLF001
    reader = _Reader(bytes(batch._buffer), batch._pos)  # noqa: SLF001
    rows = []
    for _ in range(batch.records_count):
        end = reader.number() + reader.position
        reader.number()  # attributes
        delta_ms = reader.number()
        timestamp_ms = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + delta_ms
        offset, key, value = batch.base_offset + reader.number(), reader.blob(), reader.blob()
        headers = [
            ((reader.blob() or b"").decode(errors="replace"), reader.blob() or b"") for _ in range(reader.number())
        ]
        if reader.position != end:
            message = f"a record ends at byte {reader.position}, and not at {end}"
            raise ValueError(message)
        rows.append((offset, timestamp_ms, key, value, headers))
    return rows


class _Reader:
    """Reads the numbers and byte strings that a record is made of, one after the other."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self.position = position

    def number(self) -> int:
        value, self.position = decode_varint(self._content, self.position)
        return int(value)

    def blob(self) -> bytes | None:
        length = self.number()
        if length < 0:
            return None
        start, self.position = self.position, self.position + length
        if self.position > len(self._content):
            message = f"{length} bytes are announced, and fewer are left"
            raise ValueError(message)
        return self._content[start : self.position]


def _columns(at: TopicPartition, rows: list[Row]) -> RecordBatch:
    offsets, timestamps, keys, values, headers = zip(*rows, strict=True)
    return RecordBatch(
        source=ours(at),
        offsets=np.array(offsets, dtype=np.int64),
        timestamps_ms=np.array(timestamps, dtype=np.int64),
        values=values,
        keys=keys,
        headers=headers,
    )


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> list[Header]:
    return [(name, b"" if value is None else value) for name, value in headers]
