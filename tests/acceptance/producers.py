"""Producers that know the partition and offset of every record they have sent, and which of them are bad."""

import json
import logging
import random
import threading
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol, Self

from service.ingest.embedded import EmbeddedSink
from tests.acceptance.streams import rule

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from kafka import KafkaProducer

BAD = (
    b"no json",
    b"{}",
    None,
    b'{"features": {"a": NaN, "b": 1}, "label": "yes"}',
    b'{"features": {"a": 1, "b": 1}, "label": "perhaps"}',
    b'{"features": {"a": "text", "b": 1}, "label": "no"}',
    b"\xff\xfe",
)
"""Records that must become dead letters."""

BAD_EVERY = 25
LOG = logging.getLogger("kafka")

PATIENCE_SECONDS = 300
"""How long a record may take: a broker is killed again as soon as it is back, and on a slow machine is long away."""


class Producer(Protocol):
    """Sends records durably. ``produced`` and ``bad`` hold the offsets by partition."""

    produced: dict[int, list[int]]
    bad: dict[int, list[int]]

    def send(self, count: int) -> None:
        """Send the next records of the stream; return once they are durable."""
        ...

    def close(self) -> None:
        """Free what is held."""
        ...


class Stream:
    """An endless stream of labelled events, every 25th record a bad one."""

    def __init__(self, seed: int = 0) -> None:
        self._numbers = random.Random(seed)  # noqa: S311 - a stream to learn from, no secret
        self._sent = 0

    def next(self) -> tuple[bytes | None, bool]:
        """Return the next record, and whether it is bad."""
        self._sent += 1
        if self._sent % BAD_EVERY == 0:
            return BAD[self._sent // BAD_EVERY % len(BAD)], True
        a, b = self._numbers.gauss(0, 1), self._numbers.gauss(0, 1)
        event = {"id": str(self._sent), "features": {"a": a, "b": b}, "label": rule(a, b)}
        return json.dumps(event).encode(), False


class EmbeddedProducer:
    """The only producer of an embedded log: its n-th record has offset n - 1."""

    def __init__(self, path: Path, topic: str = "events") -> None:
        self.produced: dict[int, list[int]] = {0: []}
        self.bad: dict[int, list[int]] = {0: []}
        self._sink, self._topic, self._stream = EmbeddedSink(path), topic, Stream()

    def go_on_from(self, other: "EmbeddedProducer") -> None:
        """Take over what another producer has sent, to a log that this one's is a copy of."""
        self.produced = {0: list(other.produced[0])}
        self.bad = {0: list(other.bad[0])}

    def send(self, count: int) -> None:
        """Append in one transaction."""
        begin = len(self.produced[0])
        for offset in range(begin, begin + count):
            value, bad = self._stream.next()
            self._sink.send(self._topic, value)
            if bad:
                self.bad[0].append(offset)
        self._sink.flush()
        self.produced[0] += range(begin, begin + count)

    def close(self) -> None:
        """Close the file."""
        self._sink.close()


class KafkaTopicProducer:
    """Sends to the partitions in turn; the broker says where each record went."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.produced: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        self.bad: dict[int, list[int]] = defaultdict(list)
        self._topic, self._stream = topic, Stream()
        # Its complaints about a broker that is away hold sockets, and pytest holds the complaints.
        self._log_level = LOG.level
        LOG.setLevel(logging.CRITICAL)
        self._producer: Any = KafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            retries=10_000,
            linger_ms=5,
            delivery_timeout_ms=PATIENCE_SECONDS * 1_000,
            reconnect_backoff_max_ms=1_000,  # its own 30 s may be longer than a broker stays between two kills
        )

    def send(self, count: int) -> None:
        """Send, and wait for the broker's word on each."""
        sent = []
        for index in range(count):
            value, bad = self._stream.next()
            partition = index % len(self.produced)
            sent.append((self._producer.send(self._topic, value, key=b"k", partition=partition), bad))
        for future, bad in sent:
            where = future.get(timeout=PATIENCE_SECONDS)
            self.produced[where.partition].append(where.offset)
            if bad:
                self.bad[where.partition].append(where.offset)

    def close(self) -> None:
        """Close the client."""
        self._producer.close()
        LOG.setLevel(self._log_level)


class Pump:
    """Sends small batches in a thread of its own until told to stop; ``with`` it for a load."""

    def __init__(self, producer: Producer, batch: int = 20, pause_seconds: float = 0.02) -> None:
        self._producer, self._batch, self._pause = producer, batch, pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pump")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self._failure is None, f"the producer failed: {self._failure}"

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause):
                self._producer.send(self._batch)
        except BaseException as error:  # noqa: BLE001 - told when the load ends
            self._failure = error
