"""How a consumer of kafka-python is a member of its group: what it is told, and what it is asked without waiting."""

from collections.abc import Callable, Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from service.records import Partition
from service.settings import KafkaSource as KafkaSettings

SESSION_TIMEOUT_MS = 6_000  # the broker's least: how long a killed trainer's partitions stay with it
HEARTBEAT_INTERVAL_MS = 2_000
LONGEST_POLL_INTERVAL_MS = 300_000  # who does not poll for so long leaves the group, and joins it again when it polls
RETRY_BACKOFF_MS = 20
FETCH_BYTES = 4 * 2**20
PARTITION_FETCH_BYTES = 2**20
FRAME_BYTES = 2**30


def member_arguments(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the arguments of a consumer, beside those of every client."""
    return {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # an offset out of range is ours to notice
        "isolation_level": "read_committed",  # what a producer took back never happened
        "allow_auto_create_topics": False,  # reading must not make a topic, least of all one that was just deleted
        "fetch_max_wait_ms": settings.fetch_max_wait_ms,
        # A fetch arrives as a whole inside one poll; a record larger than this comes all the same, alone.
        "fetch_max_bytes": FETCH_BYTES,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        "receive_message_max_bytes": FRAME_BYTES,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
        "max_poll_interval_ms": LONGEST_POLL_INTERVAL_MS,
        # An answer that comes just as poll begins is overlooked by kafka-python 3.0 for so long.
        "retry_backoff_ms": RETRY_BACKOFF_MS,
    }


class Assigned(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python ships no types
    """Says where to read on in partitions that the group has given to this member."""

    def __init__(self, place: Callable[[Iterable[TopicPartition]], None]) -> None:
        self._place = place

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Have the positions set, inside the client's own thread."""
        self._place(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing is to be done: the positions stay, for when the partitions come back."""


def theirs(at: Partition) -> TopicPartition:
    """Return a partition in kafka-python's vocabulary."""
    return TopicPartition(at.topic, at.partition)


def reached(consumer: Any, at: TopicPartition) -> int | None:  # noqa: ANN401 - kafka-python ships no types
    """Return the offset of the next record, None where it is not known; the public position() would ask and wait."""
    state = consumer._subscription.assignment.get(at)  # noqa: SLF001
    return None if state is None or state.position is None else state.position.offset


def stumbled(consumer: Any, error: Exception) -> tuple[TopicPartition, int] | None:  # noqa: ANN401
    """Return where the consumer could not read what it had fetched, and have it forget that fetch; None if it did not.

    It would look at the same fetch again and again, inside one poll without end.
    """
    fetcher = consumer._fetcher  # noqa: SLF001
    unread = fetcher._next_partition_records  # noqa: SLF001
    about_content = isinstance(error, CorruptRecordError) or not isinstance(error, KafkaError)
    if unread is None or not about_content:
        return None
    fetcher._next_partition_records = None  # noqa: SLF001
    unread.drain()
    # Who reads on from the middle of a batch meets the same record again, before the position.
    return unread.topic_partition, max(unread.next_fetch_offset, unread.fetch_offset)
