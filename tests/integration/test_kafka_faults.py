"""What breaks around a Kafka source while it reads: brokers, topics, partitions, and its own process."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaProducer

from service.errors import SourceUnavailableError
from service.ingest import kafka_group
from service.ingest.connect import open_sink, open_source
from service.ingest.source import EventSource, Gap
from service.records import Partition, RecordBatch
from tests.broker import Broker
from tests.logs import KafkaKind, read, values, wait_until

pytestmark = pytest.mark.kafka

PAST_THE_SESSION_SECONDS = kafka_group.SESSION_TIMEOUT_MS / 1000 + 3


def send(kind: KafkaKind, *sent: bytes) -> None:
    """Append records and wait until they are durable."""
    with closing(open_sink(kind.settings())) as sink:
        for value in sent:
            sink.send(kind.topic, value)
        assert sink.flush() == {}


def poll_through(source: EventSource, until: Callable[[list[RecordBatch]], bool], what: str) -> list[str]:
    """Poll, through complaints, until what was read is enough; return the different complaints in order."""
    batches: list[RecordBatch] = []
    said: list[str] = []

    def enough() -> bool:
        try:
            batches.extend(source.poll(100, 0.1))
        except SourceUnavailableError as error:
            if said[-1:] != [str(error)]:
                said.append(str(error))
            return False
        return until(batches)

    wait_until(enough, what)
    return said


def test_partitions_added_while_reading_are_read_from_their_beginning(kafka: Broker) -> None:
    """Records that are in a new partition before it is noticed are read as well."""
    kind = KafkaKind(kafka)
    send(kind, b"old")
    source = open_source(kind.settings())
    assert values(read(source, 1)) == [b"old"]
    kafka.add_partitions(kind.topic, 3)
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        for number in (1, 2):
            for part in "ab":
                producer.send(kind.topic, f"{number}{part}".encode(), partition=number).get(60)
    assert sorted(values(read(source, 4))) == [b"1a", b"1b", b"2a", b"2b"]  # type: ignore[type-var]
    assert source.positions() == {Partition(kind.topic, number): at for number, at in enumerate((1, 2, 2))}
    assert source.gaps() == {}
    source.close()


def test_records_deleted_while_reading_are_a_gap_and_reading_goes_on(kafka: Broker) -> None:
    """The log's retention overtakes a reader that was slow: which offsets it lost is told."""
    kind = KafkaKind(kafka)
    here = Partition(kind.topic, 0)
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        for number in range(3_000):
            producer.send(kind.topic, f"{number:04}".encode() * 500)
        producer.flush()
    source = open_source(kind.settings())
    seen = read(source, 100, max_events=100)
    kafka.delete_records(kind.topic, 2_900)
    batches = list(seen)

    def at_the_end() -> bool:
        batches.extend(source.poll(1_000, 0.1))
        return source.positions()[here] == 3_000

    wait_until(at_the_end, "end of the topic")
    offsets = [offset for batch in batches for offset in batch.offsets.tolist()]
    [gap] = source.gaps()[here]
    assert (gap.why, gap.last) == ("deleted", 2_899)
    assert offsets == [*range(gap.first), *range(2_900, 3_000)]
    source.close()


def test_a_deleted_topic_is_said_and_its_successor_is_read_from_the_beginning(kafka: Broker) -> None:
    """One line while there is no topic; then the old positions are void, although they may lie in the new one."""
    kind = KafkaKind(kafka)
    here = Partition(kind.topic, 0)
    send(kind, *(f"old{number}".encode() for number in range(5)))
    source = open_source(kind.settings())
    read(source, 5)
    kafka.delete(kind.topic)

    with pytest.raises(SourceUnavailableError) as raised:
        wait_until(lambda: source.poll(10, 0.1) != [], "complaint about the topic")
    assert f"there is no topic {kind.topic} yet: create it, or set source.topic" in str(raised.value)
    kafka.create(kind.topic)
    send(kind, *(f"new{number}".encode() for number in range(8)))
    batches: list[RecordBatch] = []
    said = poll_through(source, lambda found: batches.extend(found) or sum(map(len, found)) >= 8, "new records")
    assert len(said) <= 1
    assert source.positions() == {here: 8}
    assert source.gaps() == {here: [Gap(0, 4, "rewound")]}
    source.seek({})
    assert values(read(source, 8)) == [f"new{number}".encode() for number in range(8)]
    source.close()


def test_a_topic_made_anew_at_once_is_noticed(kafka: Broker) -> None:
    """No poll falls into the time without a topic; positions beyond the new one's end do not make an endless loop."""
    kind = KafkaKind(kafka)
    here = Partition(kind.topic, 0)
    send(kind, *(f"old{number}".encode() for number in range(20)))
    source = open_source(kind.settings())
    read(source, 20)
    kafka.delete(kind.topic)
    wait_until(lambda: not kafka.has(kind.topic), "end of the topic")
    kafka.create(kind.topic)
    send(kind, b"new0", b"new1", b"new2")
    batches: list[RecordBatch] = []

    def read_on() -> bool:
        try:
            batches.extend(source.poll(10, 0.1))
        except SourceUnavailableError:
            return False
        return source.positions().get(here) == 3

    wait_until(read_on, "new records")
    assert values(batches) == [b"new0", b"new1", b"new2"]
    assert source.gaps() == {here: [Gap(0, 19, "rewound")]}
    source.close()


def test_a_broker_that_hangs_is_noticed_and_read_on(own_kafka: Broker) -> None:
    """It keeps its connections open and answers nothing, for longer than a session; all that was sent comes, once."""
    kind = KafkaKind(own_kafka)
    source = open_source(kind.settings())
    send(kind, b"before")
    assert values(read(source, 1)) == [b"before"]
    own_kafka.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        said: set[str] = set()
        while time.monotonic() < begun + PAST_THE_SESSION_SECONDS:
            try:
                assert source.poll(10, 0.1) == []
            except SourceUnavailableError as error:
                said.add(str(error))
    finally:
        own_kafka.signal(signal.SIGCONT)
    [line] = said
    assert own_kafka.bootstrap in line
    assert "no broker answers" in line
    own_kafka.wait_until_ready()
    send(kind, b"after")
    got: list[RecordBatch] = []
    poll_through(source, lambda found: bool(found) and (got.extend(found) or True), "record after the broker's return")
    assert values(got) == [b"after"]
    assert source.gaps() == {}
    source.close()


def test_a_source_that_was_held_for_long_keeps_its_place(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who polls for no records remains the member of the group that it was, and loses and repeats nothing."""
    monkeypatch.setattr(kafka_group, "LONGEST_POLL_INTERVAL_MS", kafka_group.SESSION_TIMEOUT_MS)
    kind = KafkaKind(kafka)
    send(kind, *(str(number).encode() for number in range(50)))
    source = open_source(kind.settings())
    batches = read(source, 10, max_events=10)
    positions, members = source.positions(), kafka.members(kind.group)
    begun = time.monotonic()
    while time.monotonic() < begun + PAST_THE_SESSION_SECONDS:
        assert source.poll(0, 0.1) == []
    assert source.positions() == positions
    assert kafka.members(kind.group) == members
    batches += read(source, 40)
    assert values(batches) == [str(number).encode() for number in range(50)]
    source.close()


def test_a_source_that_was_not_polled_for_long_joins_again(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group puts it out; the next polls join anew and go on where it was."""
    monkeypatch.setattr(kafka_group, "LONGEST_POLL_INTERVAL_MS", kafka_group.SESSION_TIMEOUT_MS)
    kind = KafkaKind(kafka)
    send(kind, *(str(number).encode() for number in range(20)))
    source = open_source(kind.settings())
    batches = read(source, 5, max_events=5)
    wait_until(lambda: kafka.members(kind.group) == [], "end of the membership")
    send(kind, b"late")
    batches += read(source, 16)
    assert values(batches) == [*(str(number).encode() for number in range(20)), b"late"]
    assert source.gaps() == {}
    source.close()


READER = """
    import sys
    import structlog
    from service.errors import SourceUnavailableError
    from service.ingest.connect import open_source
    from service.settings import Settings
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    source = open_source(Settings.model_validate_json(sys.argv[1]))
    while True:
        try:
            for batch in source.poll(100, 0.1):
                print(*batch.offsets.tolist(), flush=True)
        except SourceUnavailableError as error:
            print(error, file=sys.stderr, flush=True)
"""


def test_a_process_paused_longer_than_its_session_goes_on(kafka: Broker) -> None:
    """Its partition has gone to another member meanwhile; once that leaves, it reads on where it was, without a gap."""
    kind = KafkaKind(kafka)
    settings = kind.settings()
    command = [sys.executable, "-c", textwrap.dedent(READER), settings.model_dump_json(by_alias=True)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reader:
        assert reader.stdout is not None
        try:
            send(kind, b"0", b"1")
            seen: list[int] = []
            while len(seen) < 2:
                seen += map(int, next(reader.stdout).split())
            reader.send_signal(signal.SIGSTOP)
            with closing(open_source(settings)) as rival:
                assert values(read(rival, 2)) == [b"0", b"1"]  # it has no positions and begins at the beginning
                reader.send_signal(signal.SIGCONT)
            send(kind, *(str(number).encode() for number in range(2, 10)))
            while len(seen) < 10:
                seen += map(int, next(reader.stdout).split())
        finally:
            reader.kill()
    assert seen == list(range(10))
