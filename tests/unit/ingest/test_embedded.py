"""service/ingest/embedded.py: what the contract tests do not show."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import SourceUnavailableError
from service.ingest import embedded
from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.ingest.source import Gap
from service.records import Partition, RecordBatch


def poll(path: Path, topic: str = "events") -> list[RecordBatch]:
    """Return what one poll of a new source returns."""
    with closing(EmbeddedSource(path, [topic], "g")) as source:
        return source.poll(10, 0.1)


def test_only_a_poll_makes_a_log_that_is_missing(tmp_path: Path) -> None:
    """To ask for ends and commits leaves no trace; to wait for records says at once that the place is right."""
    path = tmp_path / "deep" / "log"
    with closing(EmbeddedSource(path, ["events"], "g")) as source:
        assert source.committed() == {}
        assert source.ends() == {Partition("events", 0): 0}
        assert list(tmp_path.iterdir()) == []
        assert source.poll(10, 0.0) == []
    assert path.exists()


def test_a_poll_of_large_records_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by bytes too: a poll takes fewer records than asked for when they are large."""
    monkeypatch.setattr(embedded, "POLL_BYTES", 10_000)
    monkeypatch.setattr(embedded, "ROWS_AT_ONCE", 2)
    sink, source = EmbeddedSink(tmp_path / "log"), EmbeddedSource(tmp_path / "log", ["events"], "g")
    for _ in range(10):
        sink.send("events", b"x" * 4_000)
    sink.flush()
    sizes = []
    while sum(sizes) < 10:
        sizes += [len(batch) for batch in source.poll(1_000, 0.1)]
    assert sizes == [4, 4, 2]
    source.close()
    sink.close()


def test_a_record_beyond_what_sqlite_takes_is_named(tmp_path: Path) -> None:
    """The others of its flush are appended, without a hole where it would have been."""
    sink = EmbeddedSink(tmp_path / "log")
    with sink._log.connection() as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    for value in (b"one", b"x" * 20_000, b"two"):
        sink.send("events", value)
    assert sink.flush() == {1: "too_large"}
    sink.close()
    [batch] = poll(tmp_path / "log")
    assert (batch.offsets.tolist(), list(batch.values)) == ([0, 1], [b"one", b"two"])


def test_what_could_not_be_flushed_goes_with_the_next_flush(tmp_path: Path) -> None:
    """A log that is away for a while costs no record."""
    path = tmp_path / "log"
    path.mkdir()
    sink = EmbeddedSink(path)
    sink.send("events", b"kept")
    with pytest.raises(SourceUnavailableError):
        sink.flush()
    path.rmdir()
    assert sink.flush() == {}
    sink.close()
    [batch] = poll(path)
    assert batch.values == (b"kept",)


def test_topics_in_one_file_have_offsets_of_their_own(tmp_path: Path) -> None:
    """Dead letters lie beside the events and disturb none of their offsets."""
    sink = EmbeddedSink(tmp_path / "log")
    for topic in ("events", "events.dlq", "events"):
        sink.send(topic, topic.encode())
    sink.flush()
    sink.close()
    for topic, offsets in (("events", [0, 1]), ("events.dlq", [0])):
        [batch] = poll(tmp_path / "log", topic)
        assert batch.source == Partition(topic, 0)
        assert batch.offsets.tolist() == offsets


def test_each_hole_in_the_log_is_named_where_it_is(tmp_path: Path) -> None:
    """Records deleted in the middle are gaps of their own, besides those before the first that is left."""
    path = tmp_path / "log"
    with closing(EmbeddedSink(path)) as sink:
        for number in range(12):
            sink.send("events", str(number).encode())
        sink.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute('DELETE FROM records WHERE "offset" IN (0, 1, 5, 8, 9)')
    with closing(EmbeddedSource(path, ["events"], "g")) as source:
        source.seek({Partition("events", 0): 1})
        [batch] = source.poll(10, 0.1)
        assert batch.offsets.tolist() == [2, 3, 4, 6, 7, 10, 11]
        assert source.gaps() == {Partition("events", 0): [Gap(1, 1), Gap(5, 5), Gap(8, 9)]}
        assert source.gaps() == {}


def test_a_topic_that_fails_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of one topic before another failed is returned by the same poll when it is tried again."""
    sink = EmbeddedSink(tmp_path / "log")
    for topic in ("a", "b"):
        sink.send(topic, b"1")
    sink.flush()
    sink.close()
    source = EmbeddedSource(tmp_path / "log", ["a", "b"], "g")
    read = EmbeddedSource._read

    def broken(connection: sqlite3.Connection, at: Partition, position: int, most: int) -> list[tuple[object, ...]]:
        if at.topic == "b":
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)
        return read(connection, at, position, most)

    with monkeypatch.context() as failing:
        failing.setattr(EmbeddedSource, "_read", staticmethod(broken))
        with pytest.raises(SourceUnavailableError):
            source.poll(10, 0.1)
    assert sorted((batch.source.topic, len(batch)) for batch in source.poll(10, 0.1)) == [("a", 1), ("b", 1)]
    source.close()
