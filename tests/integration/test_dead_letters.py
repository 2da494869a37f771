"""Refused records end in the dead letters, and come back from there, on both kinds of log."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.ingest import dead_letter_replay
from service.ingest.connect import open_sink, open_source
from service.ingest.dead_letter_replay import read_dead_letters, replay_dead_letters
from service.ingest.dead_letters import KEPT_BYTES, DeadLetters, dead_letter_topic
from service.ingest.decode import Decoder
from service.ingest.source import EventSource
from service.model.features import FeatureColumns
from service.model.vocabulary import Categories, Labels
from service.observer import Observer
from service.records import Partition, Positions, RecordBatch, Refusal
from service.settings import Settings
from tests.bad_records import BAD, FITTING, MAX_BYTES, NOW_MS, SCHEMA
from tests.broker import Broker
from tests.logs import EmbeddedKind, KafkaKind, Kind, read, values


class Counts(Observer):
    """Counts letters by outcome."""

    def __init__(self) -> None:
        self.letters: Counter[str] = Counter()

    def dead_lettered(self, outcome: str, events: int) -> None:
        """Add to an outcome."""
        self.letters[outcome] += events


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    """Return each kind of log with an empty topic."""
    if request.param == "kafka":
        return KafkaKind(request.getfixturevalue("kafka"))
    return EmbeddedKind(tmp_path / "log.sqlite")


def settings_of(kind: Kind) -> Settings:
    """Return settings with the schema of the bad records."""
    plain = kind.settings(schema=SCHEMA)
    return plain.model_copy(update={"source": plain.source.model_copy(update={"max_bytes": MAX_BYTES})})


def send(settings: Settings, *records: bytes | None) -> None:
    """Append records with keys and a header of their own, and wait until they are durable."""
    sink = open_sink(settings)
    for number, value in enumerate(records):
        sink.send(settings.source.topic, value, key=f"k{number}".encode(), headers=[("number", str(number).encode())])
    assert sink.flush() == {}
    sink.close()


def write(settings: Settings, batches: list[RecordBatch], refusals: list[Refusal] | None = None) -> Counter[str]:
    """Dead-letter what a decoder refuses of the batches, or the given refusals; return letters by outcome."""
    counts = Counts()
    letters = DeadLetters(open_sink(settings), counts)
    columns, labels = FeatureColumns(settings.schema_), Labels.of(settings)
    decoder = Decoder(settings, columns, Categories(columns.categorical, 10), labels, lambda: NOW_MS)
    for batch in batches:
        letters.add(batch, decoder.decode(batch).refusals if refusals is None else refusals)
    letters.flush()
    letters.close()
    return counts.letters


def refuse(settings: Settings, *refusals: tuple[bytes, str]) -> None:
    """Append these values and dead-letter each for the given reason."""
    start = open_source(settings)
    before = start.ends()
    send(settings, *(value for value, _ in refusals))
    start.seek(before)
    batches = read(start, len(refusals))
    start.close()
    [batch] = batches
    write(settings, [batch], [Refusal(index, reason, "") for index, (_, reason) in enumerate(refusals)])


def test_every_kind_of_bad_record_is_kept_with_its_reason(kind: Kind) -> None:
    """Each lies in the dead letters with its original bytes, key and headers, and says where it stood and why."""
    settings = settings_of(kind)
    assert len(BAD) >= 30
    records = [pair for one in BAD.values() for pair in (one, (FITTING["an id"], None))]
    send(settings, *(value for value, _ in records))
    source = open_source(settings)
    counts = write(settings, read(source, len(records)))
    source.close()

    found = {listed.letter.offset: listed.letter for listed in read_dead_letters(settings)}

    assert counts == {"sent": len(BAD)}
    assert len(found) == len(BAD)
    for offset, (value, reason) in enumerate(records):
        if reason is None:
            assert offset not in found
            continue
        letter = found[offset]
        assert (letter.reason, letter.value, letter.truncated_bytes) == (reason, value, None)
        assert letter.source == Partition(kind.topic, 0)
        assert letter.key == f"k{offset}".encode()
        assert list(letter.headers) == [("number", str(offset).encode())]


def test_listing_the_letters_commits_nothing(kind: Kind) -> None:
    """Every listing begins at the first letter; a topic without letters, or without a dead-letter topic, has none."""
    settings = settings_of(kind)
    assert list(read_dead_letters(settings)) == []
    refuse(settings, (b"one", "not_json"), (b"two", "not_object"))
    for _ in range(2):
        assert [listed.letter.value for listed in read_dead_letters(settings)] == [b"one", b"two"]


def test_a_replay_sends_each_letter_once(kind: Kind) -> None:
    """The original bytes, key and headers go to the topic again; a second replay sends only what came since."""
    settings = settings_of(kind)
    refuse(settings, (b"one", "not_json"), (b"two", "not_object"))
    assert replay_dead_letters(settings).sent == 2
    assert replay_dead_letters(settings).sent == 0
    refuse(settings, (b"three", "not_json"))
    assert replay_dead_letters(settings).sent == 1

    source = open_source(settings)
    batches = read(source, 6)
    source.close()
    assert values(batches) == [b"one", b"two", b"one", b"two", b"three", b"three"]
    keys = [key for batch in batches for key in batch.keys]
    headers = [list(each) for batch in batches for each in batch.headers]
    assert keys[2:4] == keys[:2] == [b"k0", b"k1"]
    assert headers[2:4] == headers[:2]


def test_a_replay_sends_one_of_the_copies_of_a_record(kind: Kind) -> None:
    """Several trainers refuse the same records into one topic; what came by HTTP stood nowhere and is all sent."""
    settings = settings_of(kind)
    send(settings, b"same", b"same")
    source = open_source(settings)
    [batch] = read(source, 2)
    source.close()
    by_http = replace(batch, source=Partition(kind.topic, -1), offsets=np.full(2, -1))
    for reason in ("not_json", "not_object"):
        write(settings, [batch, by_http], [Refusal(0, reason, ""), Refusal(1, reason, "")])

    replayed = replay_dead_letters(settings)

    assert (replayed.sent, replayed.copies) == (6, 2)
    assert replay_dead_letters(settings).sent == 0


def test_a_replay_remembers_letters_within_bounds(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that lie farther apart than it remembers are sent again: rather twice than without a bound on memory."""
    monkeypatch.setattr(dead_letter_replay, "REMEMBERED_LETTERS", 1)
    settings = settings_of(kind)
    send(settings, b"one", b"two")
    source = open_source(settings)
    [batch] = read(source, 2)
    source.close()
    write(settings, [batch], [Refusal(index, "not_json", "") for index in (0, 0, 1, 0)])
    replayed = replay_dead_letters(settings)
    assert (replayed.sent, replayed.copies) == (3, 1)


def test_a_replay_of_one_reason_leaves_the_others_for_later(kind: Kind) -> None:
    """Filtered and unfiltered replays, in any order, send every letter exactly once."""
    settings = settings_of(kind)
    refuse(settings, (b"1", "not_json"), (b"2", "not_object"), (b"3", "not_json"))
    assert replay_dead_letters(settings, "not_json").sent == 2
    assert replay_dead_letters(settings, "not_json").sent == 0
    assert replay_dead_letters(settings).sent == 1
    assert replay_dead_letters(settings, "not_object").sent == 0
    refuse(settings, (b"4", "not_object"))
    assert replay_dead_letters(settings, "not_object").sent == 1
    source = open_source(settings)
    assert values(read(source, 8)) == [b"1", b"2", b"3", b"1", b"3", b"2", b"4", b"4"]
    source.close()


def test_the_list_says_what_was_replayed(kind: Kind) -> None:
    """By a replay of all or of one reason; what was refused since then was not."""
    settings = settings_of(kind)
    refuse(settings, (b"1", "not_json"), (b"2", "not_object"))
    replay_dead_letters(settings, "not_json")
    assert [listed.replayed for listed in read_dead_letters(settings)] == [True, False]
    replay_dead_letters(settings)
    refuse(settings, (b"3", "not_json"))
    assert [listed.replayed for listed in read_dead_letters(settings)] == [True, True, False]


def test_what_is_refused_again_meanwhile_is_left_for_the_next_replay(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer that refuses the letters as they come back makes no replay send them twice."""
    settings = settings_of(kind)
    refuse(settings, *((f"{number}".encode(), "not_json") for number in range(5)))

    def until_beside_a_trainer(ends: Positions, source: EventSource) -> Iterator[RecordBatch]:
        refuse(settings, (b"fresh", "not_json"))
        return until(ends, source)

    until = dead_letter_replay._until
    monkeypatch.setattr(dead_letter_replay, "_until", until_beside_a_trainer)
    assert replay_dead_letters(settings).sent == 5
    monkeypatch.undo()
    assert replay_dead_letters(settings).sent == 1
    assert replay_dead_letters(settings).sent == 0


@pytest.mark.kafka
def test_what_the_broker_finds_too_large_is_kept_shortened_and_not_replayed(kafka: Broker) -> None:
    """The letter has the beginning, the digest and the length; those around it are whole; a replay passes it over."""
    kind = KafkaKind(kafka)
    kafka.create(f"{kind.topic}-large", max_message_bytes=str(8 * 2**20))
    kind.topic = f"{kind.topic}-large"
    kafka.create(dead_letter_topic(kind.topic))
    settings = settings_of(kind)
    large = b"y" * (3 * 2**20)
    send(settings, b"small", large, b"last")
    source = open_source(settings)
    counts = write(settings, read(source, 3))
    source.close()

    letters = [listed.letter for listed in read_dead_letters(settings)]

    assert counts == {"sent": 3}
    assert sorted((letter.offset, letter.truncated_bytes) for letter in letters) == [
        (0, None),
        (1, len(large)),
        (2, None),
    ]
    [short] = [letter for letter in letters if letter.truncated_bytes is not None]
    assert (short.value, short.reason) == (large[:KEPT_BYTES], "too_large")
    replayed = replay_dead_letters(settings)
    assert (replayed.sent, replayed.truncated) == (2, 1)
    assert sum(listed.replayed for listed in read_dead_letters(settings)) == 2


@pytest.mark.kafka
def test_a_letter_that_is_refused_even_shortened_is_counted_and_given_up(kafka: Broker) -> None:
    """A dead-letter topic that takes next to nothing must not stop the partition."""
    kind = KafkaKind(kafka)
    kafka.create(dead_letter_topic(kind.topic), max_message_bytes="2000")
    settings = settings_of(kind)
    send(settings, b"z" * 100_000, b"small")
    source = open_source(settings)
    counts = write(settings, read(source, 2))
    source.close()
    assert counts == {"sent": 1, "failed": 1}
    assert [listed.letter.value for listed in read_dead_letters(settings)] == [b"small"]
