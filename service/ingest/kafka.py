"""Events from Kafka: a consumer group for who reads which partition, positions of our own for where."""

import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError, TopicAuthorizationFailedError
from kafka.structs import OffsetAndMetadata

from service.errors import SourceUnavailableError
from service.ingest.kafka_client import connect, is_answering, newest_failure
from service.ingest.kafka_commits import Commits
from service.ingest.kafka_failures import is_refusal, unavailable
from service.ingest.kafka_group import Assigned, member_arguments, reached, stumbled, theirs
from service.ingest.kafka_records import batch_of, ours, read_by_hand
from service.ingest.kafka_topics import Topics
from service.ingest.source import Gap, between
from service.ingest.standstill import Standstill
from service.records import Partition, Positions, RecordBatch
from service.settings import Source

log = structlog.get_logger(__name__)

LOOKUP_TIMEOUT_MS = 5_000
CLOSE_TIMEOUT_MS = 1_000
ANSWER_SECONDS = 5.0  # longer than anything that is asked regularly: fetches, heartbeats, what there is in the cluster
SILENCE_SECONDS = 2.0


class KafkaSource:
    """An EventSource over some topics. One thread owns it; the client connects at the first use.

    A client that fails in any unforeseen way is thrown away and the next call makes a new one: positions are ours.
    """

    def __init__(self, settings: Source, topics: Sequence[str], group: str) -> None:
        self._settings = settings.kafka
        self._topics = Topics(topics)
        self._group = group
        self._positions: dict[Partition, int] = {}
        self._lag: dict[Partition, int] = {}
        self._standstill = Standstill()
        self._gaps: dict[Partition, list[Gap]] = {}
        self._commits = Commits()
        self._consumer: Any = None
        self._network: Any = None
        self._silent_since: float | None = None
        self._holding = False

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records; the records of one partition are one batch."""
        consumer = self._subscribed()
        try:
            self._commits.send(consumer)
            found = self._fetched(consumer, max_events, timeout_seconds * 1000)
            anew = self._notice_made_anew(consumer)
            self._look_where_we_are(consumer)
        except OffsetOutOfRangeError as error:
            self._go_to_nearest(consumer, error.args[0], {})
            return []
        except LogTruncationError as error:
            ends = {at: end.offset for at, end in error.divergent_offsets.items() if end is not None}
            at_hand = {at: reached(consumer, at) for at in error.divergent_offsets}
            self._go_to_nearest(consumer, {at: it for at, it in at_hand.items() if it is not None}, ends)
            return []
        except Exception as error:
            stuck = stumbled(consumer, error)
            if stuck is not None:
                return self._read_by_hand(consumer, *stuck, max_events)
            self._drop()
            raise unavailable(self._settings, error) from error
        if not found:
            self._notice_silence()
            self._notice_absence()
            self._notice_standstill(consumer)
            return []
        self._standstill.end()
        self._silent_since = None
        # What was read at the old position of a topic made anew is read again, from its beginning.
        return [batch_of(at, records) for at, records in found.items() if at.topic not in anew]

    def positions(self) -> dict[Partition, int]:
        """Return the next offset of every partition that was sought or read, also of those now read by others."""
        return dict(self._positions)

    def topics(self) -> dict[str, str]:
        """Return the ids that the brokers gave to the topics, as far as they were seen; none before Kafka 2.8."""
        return self._topics.ids()

    def seek(self, positions: Positions, topics: Mapping[str, str] = MappingProxyType({})) -> None:
        """Go on from these offsets; those of other topics are left aside."""
        self._topics.known(topics)
        self._positions = {at: offset for at, offset in positions.items() if at.topic in self._topics.names}
        self._lag.clear()
        if self._consumer is not None:
            self._place(self._consumer.assignment(), sought=True)

    def commit(self, positions: Positions) -> None:
        """Commit in the background; the next polls try again what did not work, and ``close`` waits a second for it."""
        self._commits.want({theirs(at): OffsetAndMetadata(offset, "", -1) for at, offset in positions.items()})
        if self._consumer is not None:
            self._commits.send(self._consumer)

    def committed(self) -> dict[Partition, int]:
        """Ask the group's coordinator."""
        consumer = self._connected()
        try:
            found = {at: consumer.committed(at, timeout_ms=LOOKUP_TIMEOUT_MS) for at in self._partitions(consumer)}
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return {ours(at): offset for at, offset in found.items() if offset is not None}

    def ends(self) -> dict[Partition, int]:
        """Ask the partitions' leaders."""
        consumer = self._connected()
        try:
            found = consumer.end_offsets(self._partitions(consumer), timeout_ms=LOOKUP_TIMEOUT_MS)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return {ours(at): offset for at, offset in found.items()}

    def lag(self) -> dict[Partition, int]:
        """Return what the last answers of the brokers said; a partition is absent until it was fetched from."""
        return dict(self._lag)

    def gaps(self) -> dict[Partition, list[Gap]]:
        """Return, once each, which offsets were gone before they could be read."""
        found, self._gaps = self._gaps, {}
        return found

    def close(self) -> None:
        """Send what is still to be committed, for a second at most, and leave the group."""
        if self._consumer is not None:
            self._commits.finish(self._consumer)
            self._drop()

    def _connected(self) -> Any:  # noqa: ANN401 - kafka-python ships no types
        if self._consumer is None:
            arguments = member_arguments(self._settings, self._group)
            self._consumer, self._network = connect(KafkaConsumer, self._settings, **arguments)
        return self._consumer

    def _subscribed(self) -> Any:  # noqa: ANN401
        consumer = self._connected()
        if consumer.subscription() is None:
            consumer.subscribe(list(self._topics.names), listener=Assigned(self._place))
        return consumer

    def _partitions(self, consumer: Any) -> list[TopicPartition]:  # noqa: ANN401
        return [
            TopicPartition(topic, number)
            for topic in self._topics.names
            for number in consumer.partitions_for_topic(topic)
        ]

    def _fetched(self, consumer: Any, max_events: int, timeout_ms: float) -> dict[TopicPartition, list[Any]]:  # noqa: ANN401
        if max_events:
            records: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=timeout_ms, max_records=max_events)
            return records
        # A member that does not poll is put out of its group; what is paused is not returned, but kept.
        self._holding = True
        consumer.pause(*consumer.assignment())
        try:
            records = consumer.poll(timeout_ms=timeout_ms, max_records=1)
        finally:
            self._holding = False
            consumer.resume(*consumer.paused())
        return records

    def _place(self, assigned: Iterable[TopicPartition], *, sought: bool = False) -> None:
        # Called for a rebalance, this runs in the client's own thread while the owner waits inside poll.
        for at in assigned:
            offset = self._positions.get(ours(at))
            known = reached(self._consumer, at)
            if offset is not None and (sought or offset != known):
                self._consumer.seek(at, offset)
            elif offset is None and (sought or known is None):
                self._consumer.seek_to_beginning(at)
            if self._holding:
                self._consumer.pause(at)

    def _look_where_we_are(self, consumer: Any) -> None:  # noqa: ANN401
        lag = {}
        for at in consumer.assignment():
            offset = reached(consumer, at)
            if offset is None:
                continue
            # Beyond the last record returned there may be markers of transactions, which are no records.
            self._positions[ours(at)] = offset
            end = consumer.highwater(at)
            if end is not None:
                lag[ours(at)] = max(end - offset, 0)
        self._lag = lag

    def _read_by_hand(self, consumer: Any, at: TopicPartition, position: int, most: int) -> list[RecordBatch]:  # noqa: ANN401
        try:
            found = read_by_hand(self._network, at, position, most)
        except Exception as error:
            self._drop()
            raise unavailable(self._settings, error) from error
        if found.gap is not None:
            self._gaps.setdefault(ours(at), []).append(found.gap)
        self._positions[ours(at)] = found.position
        consumer.seek(at, found.position)
        return [] if found.batch is None else [found.batch]

    def _go_to_nearest(self, consumer: Any, lost: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:  # noqa: ANN401
        try:
            firsts = consumer.beginning_offsets(list(lost), timeout_ms=LOOKUP_TIMEOUT_MS)
            ends = consumer.end_offsets(list(lost), timeout_ms=LOOKUP_TIMEOUT_MS) | ends
            if any(offset > ends[at] for at, offset in lost.items()):
                manager = self._network._manager  # noqa: SLF001
                manager.run(manager.cluster.refresh_metadata)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        anew = self._notice_made_anew(consumer)
        for at, offset in lost.items():
            nearest = min(max(offset, firsts[at]), ends[at])
            if at.topic in anew or nearest == offset:
                continue
            where = {"topic": at.topic, "partition": at.partition, "position": offset}
            log.warning("records to be read next are gone from the log", **where, first=firsts[at], end=ends[at])
            self._gaps.setdefault(ours(at), []).append(between(offset, nearest))
            self._positions[ours(at)] = nearest
            consumer.seek(at, nearest)

    def _notice_made_anew(self, consumer: Any) -> list[str]:  # noqa: ANN401
        """Go to the beginning of topics that are not those that they were; return their names."""
        anew = self._topics.made_anew(self._network.cluster)
        for at in [at for at in self._positions if at.topic in anew]:
            position = self._positions.pop(at)
            log.warning(
                "the topic was deleted and made anew", topic=at.topic, partition=at.partition, position=position
            )
            if position:
                self._gaps.setdefault(at, []).append(between(position, 0))
        for at in consumer.assignment() if anew else ():
            if at.topic in anew:
                consumer.seek_to_beginning(at)
        return anew

    def _notice_silence(self) -> None:
        if is_answering(self._network, ANSWER_SECONDS + self._settings.fetch_max_wait_ms / 1000):
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > SILENCE_SECONDS:
            failure = newest_failure(self._network)
            if is_refusal(failure):  # a new client reads the files of passwords and certificates anew
                self._drop()
            raise unavailable(self._settings, failure or "no broker answers")

    def _notice_absence(self) -> None:
        cluster = self._network.cluster
        problem = self._topics.absent(cluster)
        if problem is not None:
            denied = cluster.unauthorized_topics & set(self._topics.names)
            if denied:
                raise unavailable(self._settings, TopicAuthorizationFailedError(denied))
            raise SourceUnavailableError(f"Kafka at {self._settings.bootstrap_servers}: {problem}")

    def _notice_standstill(self, consumer: Any) -> None:  # noqa: ANN401
        """Join the group anew when it has given nothing, or nothing can be fetched, for too long.

        On a busy machine kafka-python 3.0 can join before it knows the topic's partitions, is assigned none, and never
        asks again. A group that rightly gives us nothing is asked ever less often.
        """
        assigned = consumer.assignment()
        if assigned and all(consumer.highwater(at) is not None for at in assigned):
            self._standstill.end()
        elif self._standstill.too_long():
            topics = ", ".join(self._topics.names)
            log.warning("Kafka gives nothing to read; joining the group anew", topic=topics, group=self._group)
            self._drop()

    def _drop(self) -> None:
        consumer, self._consumer, self._network, self._silent_since = self._consumer, None, None, None
        try:
            consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
        except Exception as error:  # noqa: BLE001 - a client that cannot even be closed is of no more use
            log.debug("the Kafka client did not close cleanly", error=str(error))
