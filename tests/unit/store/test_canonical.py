"""The one spelling of JSON, and small files with their own digest."""

import math

import numpy as np
import pytest

from service.errors import CheckpointDamagedError
from service.store.canonical import canonical_json, exact_json, plain, seal, unseal


def test_plain_values_are_json_whatever_they_were() -> None:
    """Numpy is unwrapped, tuples become lists, keys text, and what is not finite becomes None."""
    value = {1: (np.float32(0.5), np.int64(7), np.bool_(1)), "a": np.array([1.0, np.nan]), "b": math.inf}

    assert plain(value) == {"1": [0.5, 7, True], "a": [1.0, None], "b": None}


def test_what_json_cannot_hold_is_refused() -> None:
    """Neither spelling writes an object's address or its repr in place of a value."""
    with pytest.raises(TypeError, match="set cannot be written as JSON"):
        plain({"a": {1}})
    with pytest.raises(TypeError, match="bytes cannot be written as JSON"):
        exact_json(b"")


def test_canonical_json_ignores_the_order_of_keys() -> None:
    """Two spellings of one object are the same bytes."""
    assert (
        canonical_json({"b": [1, 2], "a": "é"})
        == canonical_json({"a": "é", "b": (1, 2)})
        == b'{"a":"\\u00e9","b":[1,2]}'
    )


def test_every_changed_lost_or_added_byte_of_a_sealed_object_shows() -> None:
    """At each position a flipped bit, a cut and an inserted space are all found, white space included."""
    data = seal({"id": "x", "numbers": [1, 2.5, None], "text": "ä"})
    assert unseal(data, "f") == {"id": "x", "numbers": [1, 2.5, None], "text": "ä"}
    for index in range(len(data)):
        flipped = bytes([data[index] ^ (1 << (index % 8))])
        for bad in (data[:index] + flipped + data[index + 1 :], data[:index], data[:index] + b" " + data[index:]):
            with pytest.raises(CheckpointDamagedError, match=r"^f: damaged"):
                unseal(bad, "f")


@pytest.mark.parametrize("data", [b"", b"null", b"[1]", b'{"a": 1}', b"\xff\xfe", b"[" * 100_000, b"1" * 5_000])
def test_what_was_never_sealed_is_damaged(data: bytes) -> None:
    """Other JSON, other bytes, deep nesting and huge numbers are damage like any other, never a crash."""
    with pytest.raises(CheckpointDamagedError):
        unseal(data, "f")


def test_the_key_of_the_digest_is_taken() -> None:
    """A value of one's own under that key would be lost on reading, so it is refused on writing."""
    with pytest.raises(ValueError, match="digest"):
        seal({"digest": "mine"})
