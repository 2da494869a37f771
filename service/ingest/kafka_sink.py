"""Records to Kafka: acknowledged by all replicas, without duplicates from retries, and kept until they are."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer, Serializer
from kafka.errors import (
    InvalidRecordError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from service.ingest.kafka_client import connect
from service.ingest.kafka_failures import unavailable
from service.ingest.source import TOO_LARGE
from service.records import Header
from service.settings import KafkaSource as KafkaSettings

MAX_REQUEST_BYTES = 96 * 2**20  # just below what a broker reads at all; its own limit on a record decides
SURELY_TAKEN_BYTES = 900_000  # a broker's limit is 1 MiB unless it is told otherwise
METADATA_TIMEOUT_MS = 5_000
CLOSE_TIMEOUT_SECONDS = 1.0
NULL = object()


class _Bytes(Serializer):  # type: ignore[misc] # kafka-python ships no types
    """Passes bytes on as they are. Kafka takes a record without key and value; kafka-python, only behind this."""

    def serialize(self, topic: str, headers: object, data: Any) -> bytes | None:  # noqa: ANN401, ARG002
        return None if data is NULL else data


@dataclass(slots=True)
class _Sent:
    topic: str
    value: bytes | None
    key: bytes | None
    headers: list[Header]
    answer: Any = None
    refused: str | None = None


class KafkaSink:
    """An EventSink over a cluster. A client connects at the first flush; a failed one is replaced by the next.

    An idempotent client of kafka-python 3.0 dies of one record that the broker refuses, and names all those after it
    as refused. So records that may be too large, and those that were named, go through a client that is not.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._queue: list[_Sent] = []
        self._producers: dict[bool, Any] = {}

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[Header] = ()
    ) -> None:
        """Queue one record."""
        self._queue.append(_Sent(topic, value, key, list(headers)))

    def flush(self, timeout_seconds: float = 30.0) -> Mapping[int, str]:
        """Hand over what was queued and wait for the acknowledgements."""
        if not self._queue:
            return {}
        deadline = time.monotonic() + timeout_seconds
        sizes = (len(record.value or b"") + len(record.key or b"") for record in self._queue)
        idempotent = max(sizes) < SURELY_TAKEN_BYTES
        self._deliver(deadline, idempotent=idempotent)
        named = [record for record in self._queue if record.refused is not None and record.answer is not None]
        if idempotent and named:
            self._drop(idempotent=True)
            for record in named:
                record.refused = record.answer = None
            self._deliver(deadline, idempotent=False)
        refused = {index: record.refused for index, record in enumerate(self._queue) if record.refused is not None}
        self._queue.clear()
        return refused

    def close(self) -> None:
        """Close the client; what was not flushed is given up."""
        self._queue.clear()
        for idempotent in list(self._producers):
            self._drop(idempotent=idempotent)

    def _deliver(self, deadline: float, *, idempotent: bool) -> None:
        try:
            if idempotent not in self._producers:
                self._producers[idempotent] = self._connect(idempotent=idempotent)
            producer = self._producers[idempotent]
            for record in self._queue:
                if record.answer is None and record.refused is None:
                    self._hand_over(producer, record)
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        # Each record is waited for by itself: the client's own flush stumbles over batches that it had to split.
        for record in self._queue:
            if record.answer is not None and not record.answer.is_done:
                with suppress(KafkaError):
                    record.answer.get(max(deadline - time.monotonic(), 0.0))
                if not record.answer.is_done:
                    raise unavailable(self._settings, f"topic {record.topic} did not confirm a record in time")
        self._judge(idempotent=idempotent)

    def _connect(self, *, idempotent: bool) -> Any:  # noqa: ANN401 - kafka-python ships no types
        producer, _ = connect(
            KafkaProducer,
            self._settings,
            acks="all",
            **({} if idempotent else {"enable_idempotence": False, "max_in_flight_requests_per_connection": 1}),
            value_serializer=_Bytes(),
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=METADATA_TIMEOUT_MS,
        )
        return producer

    @staticmethod
    def _hand_over(producer: Any, record: _Sent) -> None:  # noqa: ANN401
        value = NULL if record.value is None else record.value
        try:
            record.answer = producer.send(record.topic, value, key=record.key, headers=record.headers)
        except MessageSizeTooLargeError:
            record.refused = TOO_LARGE
        except KafkaTimeoutError as error:
            message = f"topic {record.topic} is not to be had there; create it if the broker does not. {error}"
            raise KafkaTimeoutError(message) from error
        except (TypeError, ValueError) as error:
            record.refused = str(error)

    def _judge(self, *, idempotent: bool) -> None:
        lost: Exception | None = None
        for record in self._queue:
            if record.answer is None or record.answer.succeeded():
                continue
            error = record.answer.exception
            if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
                record.refused = TOO_LARGE
            elif isinstance(error, InvalidRecordError | InvalidTopicError):
                record.refused = str(error)
            else:
                lost = error
                record.answer = None
        if lost is not None:
            self._drop(idempotent=idempotent)
            raise unavailable(self._settings, lost) from lost

    def _drop(self, *, idempotent: bool) -> None:
        producer = self._producers.pop(idempotent)
        try:
            producer.close(timeout=CLOSE_TIMEOUT_SECONDS)
        except KafkaError:  # what is still on its way stops close() before its end
            producer._sender.force_close()  # noqa: SLF001
