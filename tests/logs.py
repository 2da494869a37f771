"""The two kinds of log that events come from, as the integration tests use them alike."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from service.ingest.source import EventSource
from service.records import Partition, RecordBatch
from service.settings import Settings
from tests.broker import Broker

PATIENCE_SECONDS = 90.0


class EmbeddedKind:
    """The embedded log in a file of its own."""

    name = "embedded"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topic = "events"

    def settings(self, **tree: object) -> Settings:
        """Return settings that name this log, with more keys by section."""
        source = {"kind": "embedded", "topic": self.topic, "embedded": {"path": str(self.path)}}
        return Settings.model_validate({"source": source, **tree})

    def create(self, topic: str) -> None:
        """A topic comes to be with its first record."""

    def delete_records(self, topic: str, before: int) -> None:
        """Forget all records before an offset, as a retention would."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute('DELETE FROM records WHERE topic = ? AND "offset" < ?', (topic, before))
        connection.close()


class KafkaKind:
    """A topic of its own on the test broker."""

    name = "kafka"

    def __init__(self, broker: Broker, partitions: int = 1) -> None:
        self.broker = broker
        self.topic = broker.create_topic(partitions)
        self.group = f"g-{uuid4().hex[:8]}"

    def settings(self, **tree: object) -> Settings:
        """Return settings that name this topic, with more keys by section."""
        kafka = {"bootstrap_servers": self.broker.bootstrap, "group_id": self.group}
        source = {"kind": "kafka", "topic": self.topic, "kafka": kafka}
        return Settings.model_validate({"source": source, **tree})

    def create(self, topic: str) -> None:
        """Create a topic of one partition, or leave the one of that name."""
        self.broker.create(topic)

    def delete_records(self, topic: str, before: int) -> None:
        """Have the broker forget all records before an offset."""
        self.broker.delete_records(topic, before)


Kind = EmbeddedKind | KafkaKind


def read(source: EventSource, events: int, max_events: int = 1_000) -> list[RecordBatch]:
    """Poll until so many records have come, and return their batches."""
    batches: list[RecordBatch] = []

    def enough() -> bool:
        batches.extend(source.poll(max_events, 0.1))
        return sum(map(len, batches)) >= events

    wait_until(enough, f"{events} records")
    return batches


def values(batches: list[RecordBatch], partition: Partition | None = None) -> list[bytes | None]:
    """Return the values of all batches, or of one partition's, in order."""
    return [value for batch in batches if partition in (None, batch.source) for value in batch.values]


def wait_until(ready: Callable[[], bool], what: str) -> None:
    """Call ``ready`` until it says so; fail when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"still no {what} after {PATIENCE_SECONDS:.0f} s"
