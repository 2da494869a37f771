"""Refused records are kept in ``<topic>.dlq``: original bytes, key and headers, and ours, which say why."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from service.ingest.source import TOO_LARGE, EventSink
from service.observer import Observer
from service.records import Header, Partition, RecordBatch, Refusal

log = structlog.get_logger(__name__)

REASON = "freshet-reason"
TOPIC = "freshet-topic"
PARTITION = "freshet-partition"
OFFSET = "freshet-offset"
SHA256 = "freshet-sha256"
TRUNCATED = "freshet-truncated"
OWN_HEADERS = (REASON, TOPIC, PARTITION, OFFSET, SHA256, TRUNCATED)

KEPT_BYTES = 64 * 2**10


def dead_letter_topic(topic: str) -> str:
    """Return the topic that keeps what is refused of ``topic``."""
    return f"{topic}.dlq"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record: where it stood, why it was refused, and what it was.

    ``truncated_bytes`` is the length of the original value where only its beginning is kept, else None.
    """

    source: Partition
    offset: int
    reason: str
    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    truncated_bytes: int | None = None
    sha256: str | None = None

    def to_headers(self) -> list[Header]:
        """Return the original headers, followed by ours."""
        own = {
            REASON: self.reason,
            TOPIC: self.source.topic,
            PARTITION: str(self.source.partition),
            OFFSET: str(self.offset),
        }
        if self.truncated_bytes is not None:
            own |= {SHA256: self.sha256 or "", TRUNCATED: str(self.truncated_bytes)}
        return [*self.headers, *((name, text.encode()) for name, text in own.items())]

    @classmethod
    def from_record(cls, batch: RecordBatch, index: int) -> Self:
        """Return the letter that a record of the dead-letter topic holds; strangers' records have reason unknown."""
        own: dict[str, str] = {}
        original: list[Header] = []
        # Ours are the last: an original header may have one of our names.
        for name, value in reversed(batch.headers[index]):
            if name in OWN_HEADERS and name not in own:
                own[name] = value.decode(errors="replace")
            else:
                original.insert(0, (name, value))
        return cls(
            source=Partition(own.get(TOPIC, ""), _number(own.get(PARTITION), -1)),
            offset=_number(own.get(OFFSET), -1),
            reason=own.get(REASON, "unknown"),
            value=batch.values[index],
            key=batch.keys[index],
            headers=tuple(original),
            truncated_bytes=_number(own[TRUNCATED], -1) if TRUNCATED in own else None,
            sha256=own.get(SHA256),
        )

    def shortened(self) -> Self:
        """Return the same letter with the beginning of its value, and without a key or headers that are huge."""
        value = self.value or b""
        size = sum(len(name) + len(content) for name, content in self.headers)
        return type(self)(
            source=self.source,
            offset=self.offset,
            reason=self.reason,
            value=value[:KEPT_BYTES],
            key=self.key if len(self.key or b"") <= KEPT_BYTES else None,
            headers=self.headers if size <= KEPT_BYTES else (),
            truncated_bytes=len(value),
            sha256=hashlib.sha256(value).hexdigest(),
        )


class DeadLetters:
    """Writes letters through a sink that nobody else uses."""

    def __init__(self, sink: EventSink, observer: Observer) -> None:
        self._sink = sink
        self._observer = observer
        self._pending: list[DeadLetter] = []

    def add(self, batch: RecordBatch, refusals: Sequence[Refusal]) -> None:
        """Queue a letter for each refused record of a batch."""
        for refusal in refusals:
            self._send(
                DeadLetter(
                    source=batch.source,
                    offset=int(batch.offsets[refusal.index]),
                    reason=refusal.reason,
                    value=batch.values[refusal.index],
                    key=batch.keys[refusal.index],
                    headers=tuple(batch.headers[refusal.index]),
                )
            )

    def flush(self, timeout_seconds: float = 30.0) -> None:
        """Return once all letters are durable; raise SourceUnavailableError, and go on with them at the next call.

        What the log refuses as too large is sent again, shortened. What it refuses even so is logged and counted as
        failed, and given up.
        """
        while self._pending:
            refused = self._sink.flush(timeout_seconds)
            letters, self._pending = self._pending, []
            failed = 0
            for index, why in refused.items():
                letter = letters[index]
                if why == TOO_LARGE and letter.truncated_bytes is None:
                    self._send(letter.shortened())
                    continue
                failed += 1
                log.error(
                    "a dead letter was refused by the log and is lost",
                    topic=letter.source.topic,
                    partition=letter.source.partition,
                    offset=letter.offset,
                    why=why,
                )
            if len(letters) > len(refused):
                self._observer.dead_lettered("sent", len(letters) - len(refused))
            if failed:
                self._observer.dead_lettered("failed", failed)

    def close(self) -> None:
        """Close the sink; what was not flushed is given up."""
        self._pending.clear()
        self._sink.close()

    def _send(self, letter: DeadLetter) -> None:
        topic = dead_letter_topic(letter.source.topic)
        self._sink.send(topic, letter.value, key=letter.key, headers=letter.to_headers())
        self._pending.append(letter)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else default
