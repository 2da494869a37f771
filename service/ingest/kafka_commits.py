"""Offsets committed to Kafka for lag tools: in the background, newest only, tried again until they are in."""

import time
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

log = structlog.get_logger(__name__)

Offsets = dict[TopicPartition, OffsetAndMetadata]

RETRY_SECONDS = 1.0
FINISH_TIMEOUT_MS = 1_000


class Commits:
    """The newest offsets that are to be committed, and when to try (again)."""

    def __init__(self) -> None:
        self._wanted: Offsets = {}
        self._due_seconds: float | None = None

    def want(self, offsets: Offsets) -> None:
        """Commit these from now on, in place of older ones."""
        self._wanted = offsets
        self._due_seconds = 0.0

    def send(self, consumer: Any) -> None:  # noqa: ANN401 - kafka-python ships no types
        """Send what is due, without waiting for the answer: it comes in a later poll."""
        if self._due_seconds is None or time.monotonic() < self._due_seconds:
            return
        self._due_seconds = None
        try:
            consumer.commit_async(self._wanted, callback=self._answered)
        except KafkaError as error:
            self._answered(self._wanted, error)

    def finish(self, consumer: Any) -> None:  # noqa: ANN401
        """Send what has not been confirmed and wait for it, a second at most."""
        if self._wanted:
            try:
                consumer.commit(self._wanted, timeout_ms=FINISH_TIMEOUT_MS)
            except KafkaError as error:
                log.debug("the last offsets were not committed", error=str(error))
            self._wanted = {}

    def _answered(self, offsets: Offsets, answer: object) -> None:
        if offsets is not self._wanted:
            return
        if isinstance(answer, Exception):
            self._due_seconds = time.monotonic() + RETRY_SECONDS
        else:
            self._wanted = {}
