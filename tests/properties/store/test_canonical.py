"""One spelling for every JSON value, and a seal that no other bytes fit."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointDamagedError
from service.store.canonical import DIGEST, canonical_json, exact_json, plain, seal, unseal
from tests.properties.effort import examples
from tests.properties.store.json_values import objects, values


def reordered(value: Any, random: Any) -> Any:
    """Return an equal value whose objects have their keys in another order."""
    if isinstance(value, dict):
        pairs = [(key, reordered(entry, random)) for key, entry in value.items()]
        random.shuffle(pairs)
        return dict(pairs)
    return [reordered(entry, random) for entry in value] if isinstance(value, list) else value


@examples(150)
@given(values, st.randoms(use_true_random=False))
def test_there_is_one_spelling(value: Any, random: Any) -> None:
    """Whatever the order of keys; read and written again it stays the same, and is strict JSON in ASCII."""
    data = canonical_json(value)
    assert data == canonical_json(reordered(value, random))
    assert data == canonical_json(json.loads(data))
    assert json.loads(data, parse_constant=pytest.fail) == plain(value)
    assert data.isascii()


@examples(100)
@given(st.recursive(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text()), st.lists, max_leaves=8))
def test_exact_json_keeps_infinities_and_every_bit(value: Any) -> None:
    """What a snapshot's meta holds comes back equal; numpy's numbers as plain ones."""
    assert json.loads(exact_json(value)) == value
    assert json.loads(exact_json({"n": np.int64(7), "x": np.float64(0.1)})) == {"n": 7, "x": 0.1}


@examples(100)
@given(objects)
def test_what_was_sealed_is_unsealed(value: dict[str, Any]) -> None:
    """Plain, with NaN as null."""
    assert unseal(seal(value), "here") == plain(value)


@examples(300)
@given(objects, st.data())
def test_no_other_bytes_pass(value: dict[str, Any], data: st.DataObject) -> None:
    """One byte changed, left out, put in, or the whole spelt differently."""
    sealed = seal(value)
    at = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda one: one != sealed[at : at + 1]))
    for bad in (
        sealed[:at] + byte + sealed[at + 1 :],
        sealed[:at],
        sealed[:at] + byte + sealed[at:],
        sealed + byte,
        json.dumps(json.loads(sealed)).encode(),
    ):
        with pytest.raises(CheckpointDamagedError, match="here: damaged"):
            unseal(bad, "here")


@examples(200)
@given(st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode())))
def test_anything_else_is_damaged_and_nothing_worse(data: bytes) -> None:
    """Any bytes and any JSON: a CheckpointDamagedError that names the place."""
    with pytest.raises(CheckpointDamagedError, match="here: damaged"):
        unseal(data, "here")


@examples(50)
@given(objects, st.text(max_size=9))
def test_a_forged_digest_does_not_pass(value: dict[str, Any], digest: str) -> None:
    """Nor one that somebody made up."""
    forged = json.dumps({**plain(value), DIGEST: digest}, sort_keys=True, indent=2).encode() + b"\n"
    with pytest.raises(CheckpointDamagedError):
        unseal(forged, "here")
