"""Whatever can stand in a topic is read: compressed, in transactions, with odd headers, or not at all any more."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import KafkaProducer

from service.errors import SourceUnavailableError
from service.ingest.connect import open_sink, open_source
from service.ingest.source import Gap
from service.records import Partition
from tests.broker import Broker
from tests.logs import KafkaKind, read, values, wait_until
from tests.raw_batches import NOT_UTF8, RawName, append_batch

pytestmark = pytest.mark.kafka

NewProducer = Callable[..., KafkaProducer]

BATCH_MS = 10_000
"""For so long a producer waits for others to share a batch: until it is flushed, however slow the machine is."""


@pytest.fixture
def kind(kafka: Broker) -> KafkaKind:
    """Return a topic of one partition."""
    return KafkaKind(kafka)


@pytest.fixture
def producers(kafka: Broker) -> Iterator[NewProducer]:
    """Yield a way to have producers of kafka-python itself, which can do what our sink has no need of."""
    made = []

    def new(**arguments: object) -> KafkaProducer:
        made.append(KafkaProducer(bootstrap_servers=kafka.bootstrap, **arguments))
        return made[-1]

    yield new
    for producer in made:
        producer.close()


def produce(
    producer: KafkaProducer, topic: str, *sent: bytes, headers: list[tuple[str, bytes | None]] | None = None
) -> None:
    """Send records and wait until they are durable."""
    answers = [producer.send(topic, value, headers=headers) for value in sent]
    producer.flush()
    for answer in answers:
        answer.get(60)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_compressed_topic_is_read(kind: KafkaKind, producers: NewProducer, codec: str) -> None:
    """Each codec, in batches of many records, mixed with records that are not compressed; also from their middle."""
    sent = [f"{number}-{'x' * 200}".encode() for number in range(500)]
    produce(producers(compression_type=codec, linger_ms=50), kind.topic, *sent)
    produce(producers(), kind.topic, b"plain")
    source = open_source(kind.settings())
    assert values(read(source, 501)) == [*sent, b"plain"]
    source.seek({Partition(kind.topic, 0): 250})
    assert values(read(source, 251)) == [*sent[250:], b"plain"]
    source.close()


@pytest.mark.parametrize("codec", ["snappy", "lz4", "zstd"])
def test_a_codec_that_is_not_installed_is_named_with_the_extra(
    kind: KafkaKind, producers: NewProducer, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install, at each attempt alike; nothing is skipped, and all is read once it is there."""
    produce(producers(), kind.topic, b"before")
    produce(producers(compression_type=codec), kind.topic, b"compressed" * 100)
    source = open_source(kind.settings())
    assert values(read(source, 1, max_events=1)) == [b"before"]
    with monkeypatch.context() as without:
        without.setattr(f"kafka.codec.{codec}", None)  # what kafka-python has when the import fails
        for _ in range(2):
            with pytest.raises(SourceUnavailableError) as raised:
                read(source, 1)
            line = str(raised.value)
            package = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}[codec]
            assert f"compressed by {codec}, which is not installed here: pip install {package}" in line
            assert "\n" not in line
            assert raised.value.retriable
    assert values(read(source, 1)) == [b"compressed" * 100]
    assert source.gaps() == {}
    source.close()


def test_headers_without_a_value_and_keys_arrive(kind: KafkaKind) -> None:
    """A null value of a header is an empty one; the same name may come twice; a key may be anything."""
    headers = [("null", None), ("a", b"1"), ("a", b"2")]
    append_batch(kind.broker.bootstrap, kind.topic, [(b"v", b"\x00\xff", headers)])
    source = open_source(kind.settings())
    [batch] = read(source, 1)
    assert [list(headers) for headers in batch.headers] == [[("null", b""), ("a", b"1"), ("a", b"2")]]
    assert list(batch.keys) == [b"\x00\xff"]
    source.close()


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_header_whose_name_is_no_text_arrives(kind: KafkaKind, codec: str | None) -> None:
    """kafka-python cannot read such a record; it and those after it in its batch come all the same, none twice."""
    odd = (b"odd", b"k", [(RawName("odd"), b"1"), ("null", None)])
    batch = [(f"v{number}".encode(), None, []) for number in range(7)]
    append_batch(kind.broker.bootstrap, kind.topic, [*batch[:3], odd, *batch[4:]], codec)
    append_batch(kind.broker.bootstrap, kind.topic, [(b"last", None, [])])
    expected = [b"v0", b"v1", b"v2", b"odd", b"v4", b"v5", b"v6", b"last"]

    source = open_source(kind.settings())
    batches = read(source, 8, max_events=2)
    assert values(batches) == expected
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == list(range(8))
    assert max(map(len, batches)) <= 2
    assert [key for batch in batches for key in batch.keys if key is not None] == [b"k"]
    [headers] = [list(headers) for batch in batches for headers in batch.headers if headers]
    assert headers == [(NOT_UTF8.decode(errors="replace"), b"1"), ("null", b"")]
    assert all(stamp > 0 for batch in batches for stamp in batch.timestamps_ms.tolist())
    assert source.gaps() == {}
    assert source.positions() == {Partition(kind.topic, 0): 8}
    source.seek({Partition(kind.topic, 0): 3})
    assert values(read(source, 5)) == expected[3:]
    source.close()


def test_what_a_transaction_took_back_is_never_seen(kind: KafkaKind, producers: NewProducer) -> None:
    """Aborted records and markers are no records: positions pass them, and nothing counts as a gap."""
    producer = producers(transactional_id=f"tx-{uuid4().hex[:8]}")
    producer.init_transactions()
    for number, keep in enumerate((True, False, True, False)):
        producer.begin_transaction()
        for part in "ab":
            producer.send(kind.topic, f"{number}{part}".encode())
        producer.flush()
        (producer.commit_transaction if keep else producer.abort_transaction)()
    source, here = open_source(kind.settings()), Partition(kind.topic, 0)
    batches = read(source, 4)
    assert values(batches) == [b"0a", b"0b", b"2a", b"2b"]
    assert [offset for batch in batches for offset in batch.offsets.tolist()] == [0, 1, 6, 7]

    def at_the_end() -> bool:
        assert source.poll(10, 0.1) == []
        return source.positions() == {here: 12}

    wait_until(at_the_end, "position behind the last marker")
    assert source.lag() == {here: 0}
    assert source.gaps() == {}
    source.close()


def test_an_open_transaction_is_waited_for(kind: KafkaKind, producers: NewProducer) -> None:
    """Records of a transaction that goes on are not seen before it is committed, nor are later ones of others."""
    producer = producers(transactional_id=f"tx-{uuid4().hex[:8]}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(kind.topic, b"early")
    producer.flush()
    produce(producers(), kind.topic, b"late")
    source = open_source(kind.settings())
    for _ in range(10):
        assert source.poll(10, 0.1) == []
    producer.commit_transaction()
    assert values(read(source, 2)) == [b"early", b"late"]
    source.close()


def test_idle_partitions_are_seen_to_be_idle(kafka: Broker) -> None:
    """A partition without records has position and lag 0, while another is busy; a later record in it arrives."""
    kind = KafkaKind(kafka, partitions=3)
    busy, *idle = (Partition(kind.topic, number) for number in range(3))
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for number in range(50):
        producer.send(kind.topic, str(number).encode(), partition=0)
    producer.flush()
    source = open_source(kind.settings())
    read(source, 50)

    def seen() -> bool:
        source.poll(10, 0.1)
        return source.lag() == {busy: 0, **dict.fromkeys(idle, 0)}

    wait_until(seen, "lag of idle partitions")
    assert source.positions() == {busy: 50, **dict.fromkeys(idle, 0)}
    producer.send(kind.topic, b"at last", partition=2)
    producer.flush()
    [batch] = read(source, 1)
    assert (batch.source, list(batch.values)) == (idle[1], [b"at last"])
    producer.close()
    source.close()


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_damaged_batch_becomes_a_gap_and_reading_goes_on(own_kafka: Broker, codec: str | None) -> None:
    """A byte flips on the broker's disk, where kafka-python stops for good: the batch is counted, the rest read."""
    segments = own_kafka.segments
    if segments is None:
        pytest.skip("the broker's files are out of reach in a container")
    kind = KafkaKind(own_kafka)
    here = Partition(kind.topic, 0)
    with closing(
        KafkaProducer(bootstrap_servers=own_kafka.bootstrap, compression_type=codec, linger_ms=BATCH_MS)
    ) as producer:
        for batch in ("a", "b", "c"):
            produce(producer, kind.topic, *(f"{batch}{number}-{uuid4()}".encode() for number in range(5)))
    assert damage(segments / f"{kind.topic}-0" / f"{0:020}.log", second_batch=True)

    source = open_source(kind.settings())
    batches = read(source, 10)
    assert [(value or b"")[:2] for value in values(batches)] == [f"{b}{n}".encode() for b in "ac" for n in range(5)]
    assert source.gaps() == {here: [Gap(5, 9, "unreadable")]}
    assert source.positions() == {here: 15}
    source.close()


def damage(segment: Path, *, second_batch: bool) -> bool:
    """Flip a byte in the middle of a segment's second (else last) batch; tell whether there is one."""
    content = bytearray(segment.read_bytes())
    starts, at = [], 0
    while at + 12 <= len(content) and (length := int.from_bytes(content[at + 8 : at + 12])):
        starts.append((at, 12 + length))
        at += 12 + length
    start, size = starts[1] if second_batch else starts[-1]
    with segment.open("r+b") as file:
        file.seek(start + size - 10)
        file.write(bytes([content[start + size - 10] ^ 0xFF]))
    return len(starts) > 1


def test_a_damaged_batch_at_the_end_becomes_a_gap(own_kafka: Broker) -> None:
    """Without a batch behind it, its own header says how far it goes."""
    segments = own_kafka.segments
    if segments is None:
        pytest.skip("the broker's files are out of reach in a container")
    kind = KafkaKind(own_kafka)
    here = Partition(kind.topic, 0)
    with closing(KafkaProducer(bootstrap_servers=own_kafka.bootstrap, linger_ms=BATCH_MS)) as producer:
        for batch in ("a", "b"):
            produce(producer, kind.topic, *(f"{batch}{number}".encode() for number in range(5)))
    assert damage(segments / f"{kind.topic}-0" / f"{0:020}.log", second_batch=False)
    source = open_source(kind.settings())
    assert values(read(source, 5)) == [f"a{number}".encode() for number in range(5)]

    def passed() -> bool:
        assert source.poll(10, 0.1) == []
        return source.positions() == {here: 10}

    wait_until(passed, "position behind the damage")
    assert source.gaps() == {here: [Gap(5, 9, "unreadable")]}
    sink = open_sink(kind.settings())
    sink.send(kind.topic, b"after")
    sink.flush()
    sink.close()
    assert values(read(source, 1)) == [b"after"]
    source.close()
