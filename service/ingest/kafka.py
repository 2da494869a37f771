"""Events from Kafka: a consumer group for who reads which partition, positions of our own for where."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from service.ingest.kafka_client import connect, unavailable
from service.ingest.kafka_commits import Commits
from service.ingest.standstill import Standstill
from service.records import Header, Partition, Positions, RecordBatch
from service.settings import Source

log = structlog.get_logger(__name__)

SESSION_TIMEOUT_MS = 6_000  # the broker's least: how long a killed trainer's partitions stay with it
HEARTBEAT_INTERVAL_MS = 2_000
RETRY_BACKOFF_MS = 20
LOOKUP_TIMEOUT_MS = 5_000
CLOSE_TIMEOUT_MS = 1_000
SILENCE_SECONDS = 2.0
FETCH_BYTES = 4 * 2**20
PARTITION_FETCH_BYTES = 2**20
FRAME_BYTES = 2**30


class KafkaSource:
    """An EventSource over one topic. One thread owns it; the client connects at the first use.

    A client that fails in any unforeseen way is thrown away and the next call makes a new one: positions are ours.
    """

    def __init__(self, settings: Source, topic: str, group: str) -> None:
        self._settings = settings.kafka
        self._topic = topic
        self._group = group
        self._positions: dict[Partition, int] = {}
        self._lag: dict[Partition, int] = {}
        self._standstill = Standstill()
        self._gaps: dict[Partition, int] = {}
        self._commits = Commits()
        self._consumer: Any = None
        self._network: Any = None
        self._silent_since: float | None = None

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records; the records of one partition are one batch."""
        consumer = self._subscribed()
        try:
            self._commits.send(consumer)
            found = consumer.poll(timeout_ms=timeout_seconds * 1000, max_records=max_events)
            self._look_where_we_are(consumer)
        except OffsetOutOfRangeError as error:
            self._go_to_nearest(consumer, error.args[0], {})
            return []
        except LogTruncationError as error:
            ends = {at: end.offset for at, end in error.divergent_offsets.items() if end is not None}
            reached = {at: _reached(consumer, at) for at in error.divergent_offsets}
            self._go_to_nearest(consumer, {at: it for at, it in reached.items() if it is not None}, ends)
            return []
        except Exception as error:
            self._drop()
            raise unavailable(self._settings, error) from error
        if not found:
            self._notice_silence()
            self._notice_standstill(consumer)
            return []
        self._standstill.end()
        self._silent_since = None
        return [_batch(at, records) for at, records in found.items()]

    def positions(self) -> dict[Partition, int]:
        """Return the next offset of every partition that was sought or read, also of those now read by others."""
        return dict(self._positions)

    def seek(self, positions: Positions) -> None:
        """Go on from these offsets; those of other topics are left aside."""
        self._positions = {at: offset for at, offset in positions.items() if at.topic == self._topic}
        self._lag.clear()
        if self._consumer is not None:
            self._place(self._consumer.assignment(), sought=True)

    def commit(self, positions: Positions) -> None:
        """Commit in the background; the next polls try again what did not work, and ``close`` waits a second for it."""
        self._commits.want({_theirs(at): OffsetAndMetadata(offset, "", -1) for at, offset in positions.items()})
        if self._consumer is not None:
            self._commits.send(self._consumer)

    def committed(self) -> dict[Partition, int]:
        """Ask the group's coordinator."""
        consumer = self._connected()
        try:
            found = {at: consumer.committed(at, timeout_ms=LOOKUP_TIMEOUT_MS) for at in self._partitions(consumer)}
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return {_ours(at): offset for at, offset in found.items() if offset is not None}

    def ends(self) -> dict[Partition, int]:
        """Ask the partitions' leaders."""
        consumer = self._connected()
        try:
            found = consumer.end_offsets(self._partitions(consumer), timeout_ms=LOOKUP_TIMEOUT_MS)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return {_ours(at): offset for at, offset in found.items()}

    def lag(self) -> dict[Partition, int]:
        """Return what the last answers of the brokers said; a partition is absent until it was fetched from."""
        return dict(self._lag)

    def gaps(self) -> dict[Partition, int]:
        """Return, once each, how many records were gone before they could be read."""
        found, self._gaps = self._gaps, {}
        return found

    def close(self) -> None:
        """Send what is still to be committed, for a second at most, and leave the group."""
        if self._consumer is not None:
            self._commits.finish(self._consumer)
            self._drop()

    def _connected(self) -> Any:  # noqa: ANN401 - kafka-python ships no types
        if self._consumer is None:
            self._consumer, self._network = connect(
                KafkaConsumer,
                self._settings,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="none",  # an offset out of range is ours to notice
                isolation_level="read_committed",  # what a producer took back never happened
                fetch_max_wait_ms=self._settings.fetch_max_wait_ms,
                # A fetch arrives as a whole inside one poll; a record larger than this comes all the same, alone.
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
                receive_message_max_bytes=FRAME_BYTES,
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
                # An answer that comes just as poll begins is overlooked by kafka-python 3.0 for so long.
                retry_backoff_ms=RETRY_BACKOFF_MS,
            )
        return self._consumer

    def _subscribed(self) -> Any:  # noqa: ANN401
        consumer = self._connected()
        if consumer.subscription() is None:
            consumer.subscribe([self._topic], listener=_Assigned(self._place))
        return consumer

    def _partitions(self, consumer: Any) -> list[TopicPartition]:  # noqa: ANN401
        return [TopicPartition(self._topic, number) for number in consumer.partitions_for_topic(self._topic)]

    def _place(self, assigned: Iterable[TopicPartition], *, sought: bool = False) -> None:
        # Called for a rebalance, this runs in the client's own thread while the owner waits inside poll.
        for at in assigned:
            offset = self._positions.get(_ours(at))
            reached = _reached(self._consumer, at)
            if offset is not None and (sought or offset != reached):
                self._consumer.seek(at, offset)
            elif offset is None and (sought or reached is None):
                self._consumer.seek_to_beginning(at)

    def _look_where_we_are(self, consumer: Any) -> None:  # noqa: ANN401
        lag = {}
        for at in consumer.assignment():
            reached = _reached(consumer, at)
            if reached is None:
                continue
            # Beyond the last record returned there may be markers of transactions, which are no records.
            self._positions[_ours(at)] = reached
            end = consumer.highwater(at)
            if end is not None:
                lag[_ours(at)] = max(end - reached, 0)
        self._lag = lag

    def _go_to_nearest(self, consumer: Any, lost: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:  # noqa: ANN401
        try:
            firsts = consumer.beginning_offsets(list(lost), timeout_ms=LOOKUP_TIMEOUT_MS)
            ends = consumer.end_offsets(list(lost), timeout_ms=LOOKUP_TIMEOUT_MS) | ends
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        for at, offset in lost.items():
            nearest = min(max(offset, firsts[at]), ends[at])
            if nearest != offset:
                where = {"topic": at.topic, "partition": at.partition, "position": offset}
                log.warning("records to be read next are gone from the log", **where, first=firsts[at], end=ends[at])
                self._gaps[_ours(at)] = self._gaps.get(_ours(at), 0) + abs(nearest - offset)
            self._positions[_ours(at)] = nearest
            consumer.seek(at, nearest)

    def _notice_silence(self) -> None:
        if any(self._network.connected(broker.node_id) for broker in self._network.cluster.brokers()):
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > SILENCE_SECONDS:
            raise unavailable(self._settings, "no broker is connected")

    def _notice_standstill(self, consumer: Any) -> None:  # noqa: ANN401
        """Join the group anew when it has given nothing, or nothing can be fetched, for too long.

        On a busy machine kafka-python 3.0 can join before it knows the topic's partitions, is assigned none, and never
        asks again. A group that rightly gives us nothing is asked ever less often.
        """
        assigned = consumer.assignment()
        if assigned and all(consumer.highwater(at) is not None for at in assigned):
            self._standstill.end()
        elif self._standstill.too_long():
            log.warning("Kafka gives nothing to read; joining the group anew", topic=self._topic, group=self._group)
            self._drop()

    def _drop(self) -> None:
        consumer, self._consumer, self._network, self._silent_since = self._consumer, None, None, None
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except Exception as error:  # noqa: BLE001 - a client that cannot even be closed is of no more use
            log.debug("the Kafka client did not close cleanly", error=str(error))


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python ships no types
    """Says where to read on in partitions that the group has given to this member."""

    def __init__(self, place: Callable[[Iterable[TopicPartition]], None]) -> None:
        self._place = place

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._place(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing is to be done: the positions stay, for when the partitions come back."""


def _ours(at: TopicPartition) -> Partition:
    return Partition(at.topic, at.partition)


def _theirs(at: Partition) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)


def _reached(consumer: Any, at: TopicPartition) -> int | None:  # noqa: ANN401
    # The public position() asks the brokers when it does not know; this must not block.
    state = consumer._subscription.assignment.get(at)  # noqa: SLF001
    return None if state is None or state.position is None else state.position.offset


def _batch(at: TopicPartition, records: list[Any]) -> RecordBatch:
    column = dict(zip(records[0]._fields, zip(*records, strict=True), strict=True))  # records are named tuples
    headers: Sequence[Any] = column["headers"]
    return RecordBatch(
        source=_ours(at),
        offsets=np.array(column["offset"], dtype=np.int64),
        timestamps_ms=np.array(column["timestamp"], dtype=np.int64),
        values=column["value"],
        keys=column["key"],
        headers=[_headers(some) for some in headers] if any(headers) else [()] * len(records),
    )


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> list[Header]:
    return [(name, b"" if value is None else value) for name, value in headers]
