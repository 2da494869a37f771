"""service/ingest/dead_letters.py: what a letter says, and how it is read back."""

import hashlib

import numpy as np

from service.ingest.dead_letters import KEPT_BYTES, DeadLetter, dead_letter_topic
from service.records import Header, Partition, RecordBatch

HERE = Partition("events", 2)


def letter(
    value: bytes | None = b"\xff\x00", key: bytes | None = b"k", headers: tuple[Header, ...] = (("trace", b"7"),)
) -> DeadLetter:
    """Return a letter about offset 41 of events/2."""
    return DeadLetter(source=HERE, offset=41, reason="not_utf8", value=value, key=key, headers=headers)


def record(value: bytes | None, key: bytes | None, headers: list[Header]) -> RecordBatch:
    """Return a polled batch of one record."""
    return RecordBatch(Partition("events.dlq", 0), np.array([0]), np.array([-1]), [value], [key], [headers])


def test_a_letter_names_the_record_in_headers_of_text() -> None:
    """Reason, topic, partition and offset follow the original headers, all as text."""
    assert letter().to_headers() == [
        ("trace", b"7"),
        ("freshet-reason", b"not_utf8"),
        ("freshet-topic", b"events"),
        ("freshet-partition", b"2"),
        ("freshet-offset", b"41"),
    ]
    assert dead_letter_topic("events") == "events.dlq"


def test_a_letter_read_back_is_the_letter_that_was_written() -> None:
    """Also a tombstone, and a record whose own headers had our names: a dead letter's dead letter, for instance."""
    for written in (
        letter(),
        letter(None, None, ()),
        letter(headers=(("freshet-reason", b"x"), ("a", b""), ("a", b"b"))),
    ):
        assert DeadLetter.from_record(record(written.value, written.key, written.to_headers()), 0) == written


def test_a_shortened_letter_vouches_for_what_it_left_out() -> None:
    """The first 64 KiB stay, with the original length and the SHA-256 of the whole."""
    value = bytes(range(256)) * 1_024
    short = letter(value).shortened()
    headers = dict(short.to_headers())
    assert short.value == value[:KEPT_BYTES]
    assert headers["freshet-truncated"] == str(len(value)).encode()
    assert headers["freshet-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert (short.key, short.headers) == (b"k", (("trace", b"7"),))
    assert DeadLetter.from_record(record(short.value, short.key, short.to_headers()), 0) == short


def test_a_shortened_letter_drops_a_huge_key_and_huge_headers() -> None:
    """What makes a record too large may also be its key or its headers."""
    short = letter(key=b"k" * (KEPT_BYTES + 1), headers=(("h", b"x" * KEPT_BYTES),)).shortened()
    assert (short.key, short.headers) == (None, ())
    assert short.value == b"\xff\x00"


def test_a_strangers_record_in_the_topic_is_readable() -> None:
    """Without our headers the reason is unknown; nothing raises, whatever the headers hold."""
    read = DeadLetter.from_record(record(b"v", None, [("freshet-offset", b"\xff-1"), ("other", b"o")]), 0)
    assert (read.reason, read.offset, read.headers) == ("unknown", -1, (("other", b"o"),))
