"""What every EventSource and EventSink does, held against the embedded log and a real Kafka broker alike."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import SourceUnavailableError
from service.ingest.connect import open_sink, open_source
from service.ingest.source import EventSource, Gap
from service.records import Partition
from service.settings import Settings
from tests.broker import Broker
from tests.logs import EmbeddedKind, KafkaKind, Kind, read, values, wait_until
from tests.ports import free_port


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Return each kind of log with an empty topic."""
    if request.param == "kafka":
        return KafkaKind(request.getfixturevalue("kafka"))
    return EmbeddedKind(tmp_path / "deep" / "log.sqlite")


@pytest.fixture
def source(kind: Kind) -> Iterator[EventSource]:
    """Yield an open source over the topic."""
    opened = open_source(kind.settings())
    yield opened
    opened.close()


def fill(settings: Settings, count: int, *, first: int = 0) -> None:
    """Append records v0, v1 and so on, and wait until they are durable."""
    sink = open_sink(settings)
    for number in range(first, first + count):
        sink.send(settings.source.topic, f"v{number}".encode())
    assert sink.flush() == {}
    sink.close()


def numbered(first: int, end: int) -> list[bytes]:
    """Return the values that ``fill`` wrote."""
    return [f"v{number}".encode() for number in range(first, end)]


def test_records_come_back_as_they_were_sent_and_in_order(kind: Kind, source: EventSource) -> None:
    """Value, key, headers, tombstones (with and without a key), offset and time of each record survive."""
    sink = open_sink(kind.settings())
    before_ms = int(time.time() * 1000)
    sink.send(kind.topic, b"one", key=b"k", headers=[("a", b"1"), ("a", b"\xff"), ("é", b"")])
    sink.send(kind.topic, None, key=b"k")
    sink.send(kind.topic, None)
    sink.send(kind.topic, b"", key=b"")
    assert sink.flush() == {}
    after_ms = int(time.time() * 1000)

    batches = read(source, 4)

    assert values(batches) == [b"one", None, None, b""]
    assert [key for batch in batches for key in batch.keys] == [b"k", b"k", None, b""]
    assert [list(headers) for batch in batches for headers in batch.headers] == [
        [("a", b"1"), ("a", b"\xff"), ("é", b"")],
        [],
        [],
        [],
    ]
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == [0, 1, 2, 3]
    assert all(before_ms <= stamp <= after_ms for batch in batches for stamp in batch.timestamps_ms.tolist())
    assert {batch.source for batch in batches} == {Partition(kind.topic, 0)}
    sink.close()


def test_a_poll_returns_no_more_than_asked_for(kind: Kind, source: EventSource) -> None:
    """The bound of a poll holds, and the next poll goes on exactly there."""
    fill(kind.settings(), 25)
    batches = read(source, 25, max_events=10)
    assert max(map(len, batches)) == 10
    assert values(batches) == numbered(0, 25)


def test_a_poll_for_nothing_returns_nothing_and_moves_nothing(kind: Kind, source: EventSource) -> None:
    """Who has no room polls for 0 records: none is lost, lag stays known, and reading goes on exactly there."""
    fill(kind.settings(), 30)
    here = Partition(kind.topic, 0)
    first = read(source, 10, max_events=10)
    for _ in range(5):
        assert source.poll(0, 0.05) == []
    assert source.positions() == {here: 10}
    assert source.lag() == {here: 20}
    assert values(first + read(source, 20)) == numbered(0, 30)


def test_a_poll_for_nothing_is_a_possible_beginning(kind: Kind, source: EventSource) -> None:
    """A source that was never polled for records keeps to what was sought."""
    fill(kind.settings(), 10)
    source.seek({Partition(kind.topic, 0): 4})
    for _ in range(10):
        assert source.poll(0, 0.05) == []
    assert source.positions() == {Partition(kind.topic, 0): 4}
    assert values(read(source, 6)) == numbered(4, 10)


def with_more_topics(kind: Kind) -> tuple[Settings, list[str]]:
    """Return settings that read three topics, with 20 records in each, and their names."""
    topics = [kind.topic, f"{kind.topic}-b", f"{kind.topic}-c"]
    settings = kind.settings()
    settings = settings.model_copy(
        update={"source": settings.source.model_copy(update={"more_topics": tuple(topics[1:])})}
    )
    sink = open_sink(settings)
    for topic in topics:
        kind.create(topic)
        for number in range(20):
            sink.send(topic, f"{topic}-{number}".encode())
    assert sink.flush() == {}
    sink.close()
    return settings, topics


def test_several_topics_are_read_each_in_its_order(kind: Kind) -> None:
    """Every topic has its own positions, lag, ends and commits; a poll's bound holds for all of them together."""
    settings, topics = with_more_topics(kind)
    places = [Partition(topic, 0) for topic in topics]
    source = open_source(settings)
    batches = read(source, 60, max_events=7)
    for place in places:
        assert values(batches, place) == [f"{place.topic}-{number}".encode() for number in range(20)]
    assert source.positions() == source.ends() == dict.fromkeys(places, 20)

    def idle() -> bool:
        assert source.poll(10, 0.05) == []
        return source.lag() == dict.fromkeys(places, 0)

    wait_until(idle, "lag of all topics")
    source.commit({places[0]: 20, places[2]: 3})
    source.close()
    successor = open_source(settings)
    assert successor.committed() == {places[0]: 20, places[2]: 3}
    successor.seek({places[0]: 20, places[1]: 15, Partition("another", 0): 1})
    batches = read(successor, 25)
    assert [len(values(batches, place)) for place in places] == [0, 5, 20]
    successor.close()


def test_no_topic_starves_another(kind: Kind) -> None:
    """With more waiting in each topic than one poll takes, a few polls have come to all of them."""
    settings, topics = with_more_topics(kind)
    source = open_source(settings)
    seen = {batch.source.topic for _ in range(3) for batch in read(source, 20, max_events=20)}
    assert seen == set(topics)
    source.close()


def test_nothing_is_known_before_anything_was_read_or_sought(source: EventSource) -> None:
    """A source that was only opened has no positions, no lag and no gaps."""
    assert (source.positions(), source.lag(), source.gaps()) == ({}, {}, {})


def test_an_empty_topic_polls_empty_and_has_a_position(kind: Kind, source: EventSource) -> None:
    """Nothing to read is an empty answer, at offset 0 and without lag."""
    here = Partition(kind.topic, 0)
    wait_until(lambda: source.poll(10, 0.1) == [] and source.lag() == {here: 0}, "lag of an empty topic")
    assert source.positions() == {here: 0}
    assert source.ends() == {here: 0}


def test_positions_are_known_after_a_seek_at_once(kind: Kind, source: EventSource) -> None:
    """What was sought is the position, even before a partition is assigned."""
    source.seek({Partition(kind.topic, 0): 7, Partition("another", 0): 3})
    assert source.positions()[Partition(kind.topic, 0)] == 7


def test_a_seek_reads_the_same_records_again(kind: Kind, source: EventSource) -> None:
    """Going back, going on, and going to the beginning by naming nothing all work while reading."""
    fill(kind.settings(), 20)
    here = Partition(kind.topic, 0)
    assert values(read(source, 20)) == numbered(0, 20)
    source.seek({here: 12})
    assert source.positions() == {here: 12}
    assert values(read(source, 8)) == numbered(12, 20)
    source.seek({})
    assert values(read(source, 20)) == numbered(0, 20)
    assert source.gaps() == {}


def test_a_new_source_continues_from_given_positions_whatever_was_committed(kind: Kind, source: EventSource) -> None:
    """Positions are the caller's: neither the group's committed offsets nor the topic's end decide."""
    fill(kind.settings(), 20)
    read(source, 20)
    source.commit({Partition(kind.topic, 0): 20})
    source.close()
    successor = open_source(kind.settings())
    successor.seek({Partition(kind.topic, 0): 5})
    assert values(read(successor, 15)) == numbered(5, 20)
    assert successor.positions() == {Partition(kind.topic, 0): 20}
    successor.close()


def test_a_commit_can_be_seen_by_others(kind: Kind, source: EventSource) -> None:
    """What was committed stands under the group's name, for lag tools, and another group sees nothing of it."""
    fill(kind.settings(), 5)
    here = Partition(kind.topic, 0)
    read(source, 5)
    source.commit({here: 4})
    source.close()
    observer, stranger = open_source(kind.settings()), open_source(kind.settings(), group="stranger")
    assert observer.committed() == {here: 4}
    assert stranger.committed() == {}
    observer.close()
    stranger.close()


def test_lag_says_how_many_records_wait(kind: Kind, source: EventSource) -> None:
    """Lag counts what is appended and not yet returned, as of the last poll."""
    fill(kind.settings(), 30)
    here = Partition(kind.topic, 0)
    read(source, 10, max_events=10)
    assert source.lag() == {here: 20}
    read(source, 20)
    assert source.lag() == {here: 0}
    assert source.ends() == {here: 30}


def test_records_deleted_unread_are_counted_once_and_reading_goes_on(kind: Kind, source: EventSource) -> None:
    """A position that the log has deleted becomes the nearest offset left; the gap is reported exactly once."""
    fill(kind.settings(), 100)
    kind.delete_records(kind.topic, 60)
    here = Partition(kind.topic, 0)
    source.seek({here: 25})
    assert values(read(source, 40)) == numbered(60, 100)
    assert source.gaps() == {here: [Gap(25, 59)]}
    assert source.gaps() == {}


def test_a_beginning_that_is_not_offset_0_is_no_gap(kind: Kind, source: EventSource) -> None:
    """Who starts at the beginning missed nothing that was theirs to read."""
    fill(kind.settings(), 10)
    kind.delete_records(kind.topic, 4)
    assert values(read(source, 6)) == numbered(4, 10)
    assert source.gaps() == {}


def test_a_log_that_ends_before_the_position_is_a_counted_gap(kind: Kind, source: EventSource) -> None:
    """An older log has come back: the gap is named and consumption goes on from its end."""
    fill(kind.settings(), 10)
    here = Partition(kind.topic, 0)
    source.seek({here: 50})
    wait_until(lambda: source.poll(10, 0.1) == [] and source.positions() == {here: 10}, "position at the end")
    assert source.gaps() == {here: [Gap(10, 49, "rewound")]}
    fill(kind.settings(), 3, first=10)
    assert values(read(source, 3)) == numbered(10, 13)


def test_all_records_deleted_leaves_the_offsets_going_on(kind: Kind, source: EventSource) -> None:
    """Emptying a log does not make offsets begin again."""
    fill(kind.settings(), 10)
    kind.delete_records(kind.topic, 10)
    fill(kind.settings(), 2, first=10)
    [batch] = read(source, 2)
    assert batch.offsets.tolist() == [10, 11]


def test_a_closed_source_and_sink_can_be_closed_again(kind: Kind) -> None:
    """Closing twice is closing once, and closing what was never used is nothing."""
    used, unused, sink = open_source(kind.settings()), open_source(kind.settings()), open_sink(kind.settings())
    used.poll(1, 0.01)
    for each in (used, unused, sink):
        each.close()
        each.close()


WRITER = """
    import os, sys
    from service.ingest.connect import open_sink
    from service.settings import Settings
    settings = Settings.model_validate({"source": {"embedded": {"path": sys.argv[1]}}})
    sink = open_sink(settings)
    for number in range(int(sys.argv[2])):
        sink.send("events", f"{os.getpid()}-{number}".encode())
        if number % 7 == 6:
            sink.flush()
            print(number, flush=True)
    sink.flush()
    print("done", flush=True)
    sys.stdin.read()
"""


def start_writer(path: Path, count: int) -> subprocess.Popen[str]:
    """Start a process that appends records, says after each flush how far it came, and then waits."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_embedded_log_keeps_what_was_flushed_through_a_kill(tmp_path: Path) -> None:
    """A writer killed right after a flush returned has lost none of what it flushed, and left a readable log."""
    kind = EmbeddedKind(tmp_path / "log.sqlite")
    with start_writer(kind.path, 100_000) as writer:
        assert writer.stdout is not None
        flushed = max(int(next(writer.stdout)) for _ in range(20))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    source = open_source(kind.settings())
    batches = read(source, flushed + 1)
    assert values(batches)[: flushed + 1] == [f"{writer.pid}-{number}".encode() for number in range(flushed + 1)]
    source.close()


def test_processes_that_append_at_once_get_dense_offsets(tmp_path: Path) -> None:
    """Two writers and a reader share the file: no record is lost or doubled, and each writer's order is kept."""
    kind = EmbeddedKind(tmp_path / "log.sqlite")
    with start_writer(kind.path, 300) as one, start_writer(kind.path, 300) as other:
        source = open_source(kind.settings())
        batches = read(source, 600)
        source.close()
        for writer in (one, other):
            writer.communicate()
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == list(range(600))
    for writer in (one, other):
        own = [value for value in values(batches) if value is not None and value.startswith(f"{writer.pid}-".encode())]
        assert own == [f"{writer.pid}-{number}".encode() for number in range(300)]


@pytest.mark.kafka
def test_each_partition_has_its_own_order_and_position(kafka: Broker) -> None:
    """Two partitions are read completely, each from the position given for it, one not named from its beginning."""
    kind = KafkaKind(kafka, partitions=2)
    sink = open_sink(kind.settings())
    for number in range(200):
        sink.send(kind.topic, f"v{number}".encode(), key=str(number).encode())
    sink.flush()
    sink.close()
    zero, one = Partition(kind.topic, 0), Partition(kind.topic, 1)
    first = open_source(kind.settings())
    batches = read(first, 200)
    first.close()
    ends = {at: len(values(batches, at)) for at in (zero, one)}
    assert first.positions() == ends
    assert min(ends.values()) > 10

    second = open_source(kind.settings())
    second.seek({zero: 10})
    again = read(second, 190)
    assert values(again, zero) == values(batches, zero)[10:]
    assert values(again, one) == values(batches, one)
    assert second.positions() == ends
    second.close()


@pytest.mark.kafka
def test_a_rebalance_neither_loses_nor_repeats(kafka: Broker) -> None:
    """A second member takes a partition and leaves again: the first goes on in both from where it was."""
    kind = KafkaKind(kafka, partitions=2)
    settings = kind.settings()
    first, second = open_source(settings), open_source(settings)
    sink = open_sink(settings)
    for number in range(100):
        sink.send(kind.topic, f"a{number}".encode(), key=str(number).encode())
    sink.flush()
    batches = read(first, 100)
    before = first.positions()

    second.seek(before)

    def shared() -> bool:
        batches.extend(first.poll(10, 0.05))
        batches.extend(second.poll(10, 0.05))
        return len(second.lag()) == 1 and len(first.lag()) == 1

    wait_until(shared, "a shared topic")
    assert first.positions() == before
    second.close()
    for number in range(100):
        sink.send(kind.topic, f"b{number}".encode(), key=str(number).encode())
    sink.flush()
    batches += read(first, 100)
    sink.close()
    first.close()
    assert sorted(values(batches)) == sorted(f"{run}{number}".encode() for run in "ab" for number in range(100))


@pytest.mark.kafka
def test_a_topic_made_later_is_noticed(kafka: Broker) -> None:
    """Who subscribes to a topic that does not exist reads it once it does."""
    kind = KafkaKind(kafka)
    kind.topic = f"{kind.topic}-later"
    source = open_source(kind.settings())
    source.poll(10, 0.1)
    kafka.create(kind.topic)
    fill(kind.settings(), 5)
    assert values(read(source, 5)) == numbered(0, 5)
    source.close()


@pytest.mark.kafka
@pytest.mark.parametrize("megabytes", [2, 6])
def test_a_record_larger_than_any_fetch_size_arrives(kafka: Broker, megabytes: int) -> None:
    """A record over source.max_bytes, and over what a fetch asks for, is not stuck on the broker."""
    kind = KafkaKind(kafka)
    kafka.create(f"{kind.topic}-large", max_message_bytes=str(16 * 2**20))
    kind.topic = f"{kind.topic}-large"
    sink = open_sink(kind.settings())
    for value in (b"before", b"x" * (megabytes * 2**20), b"after"):
        sink.send(kind.topic, value)
    assert sink.flush() == {}
    sink.close()
    source = open_source(kind.settings())
    assert [len(value or b"") for value in values(read(source, 3))] == [6, megabytes * 2**20, 5]
    source.close()


@pytest.mark.kafka
@pytest.mark.parametrize("limit_bytes", [10_000, 1_048_588])
def test_the_sink_says_which_records_the_broker_refused(kafka: Broker, limit_bytes: int) -> None:
    """Records over the broker's limit are named by their places; those around them are durable, in order."""
    kind = KafkaKind(kafka)
    kind.topic = f"{kind.topic}-limited"
    kafka.create(kind.topic, max_message_bytes=str(limit_bytes))
    sink = open_sink(kind.settings())
    large = b"x" * (limit_bytes + 1)
    for value in (b"one", large, b"two", large, large, b"three"):
        sink.send(kind.topic, value)
    assert sink.flush() == {1: "too_large", 3: "too_large", 4: "too_large"}
    sink.send(kind.topic, b"four")
    assert sink.flush() == {}
    sink.close()
    source = open_source(kind.settings())
    assert values(read(source, 4)) == [b"one", b"two", b"three", b"four"]
    source.close()


@pytest.mark.usefixtures("kafka_leftovers")
def test_an_absent_broker_is_one_clear_line_and_retriable(capfd: pytest.CaptureFixture[str]) -> None:
    """Source and sink name the address, print nothing themselves, and can be asked again."""
    port = free_port()
    kafka = {"bootstrap_servers": f"127.0.0.1:{port}"}
    settings = Settings.model_validate({"source": {"kind": "kafka", "kafka": kafka}})
    source, sink = open_source(settings), open_sink(settings)
    sink.send("events", b"kept")
    for attempt in (lambda: source.poll(1, 0.1), sink.flush, sink.flush):
        with pytest.raises(SourceUnavailableError, match=f"127.0.0.1:{port}") as raised:
            attempt()
        assert raised.value.retriable
        assert "\n" not in str(raised.value)
    source.close()
    sink.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.kafka
def test_a_killed_broker_that_comes_back_is_read_on(own_kafka: Broker) -> None:
    """While it is away, poll and flush say so and nothing is forgotten; then both go on by themselves."""
    kind = KafkaKind(own_kafka)
    source, sink = open_source(kind.settings()), open_sink(kind.settings())
    fill(kind.settings(), 10)
    assert values(read(source, 10)) == numbered(0, 10)
    own_kafka.kill()

    sink.send(kind.topic, b"v10")
    with pytest.raises(SourceUnavailableError):
        sink.flush(1.0)

    def said_so() -> bool:
        try:
            assert source.poll(10, 0.1) == []
        except SourceUnavailableError:
            return True
        return False

    wait_until(said_so, "complaint about the broker")
    own_kafka.start()
    wait_until(lambda: flushed(sink), "flush")

    batches = []

    def arrived() -> bool:
        try:
            batches.extend(source.poll(10, 0.1))
        except SourceUnavailableError:
            return False
        return bool(batches)

    wait_until(arrived, "record after the broker's return")
    assert values(batches) == [b"v10"]
    assert source.gaps() == {}
    source.close()
    sink.close()


def flushed(sink: object) -> bool:
    """Tell whether a flush went through."""
    try:
        assert sink.flush(2.0) == {}  # type: ignore[attr-defined]
    except SourceUnavailableError:
        return False
    return True
