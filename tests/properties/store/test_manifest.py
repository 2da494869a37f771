"""A checkpoint's manifest: any that fits survives JSON, any other is refused by one family of errors."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointDamagedError, StoreError
from service.store.canonical import canonical_json
from service.store.clock import utc_text
from service.store.event_times import EventTimes
from service.store.manifest import FORMAT_VERSION, DataRange, Learnt, Manifest, age, fresh_id, is_id
from tests.properties.effort import examples
from tests.properties.store.json_values import objects, values

ids = st.from_regex(r"[0-9]{6,12}-[0-9a-f]{8}", fullmatch=True)
texts = st.text(max_size=8)
times = st.floats(0, 4e9).map(utc_text)
ranges = st.builds(DataRange, topic=texts, partition=st.integers(0, 9), first=st.integers(0), last=st.integers(0))
learnt = st.builds(
    lambda stamps, after: Learnt.of(EventTimes.of(np.array(stamps, dtype=np.int64)), after),
    st.lists(st.integers(0, 4 * 10**12), max_size=5),
    st.one_of(st.none(), ids),
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Return any manifest that fits."""
    name, parent = draw(ids), draw(st.one_of(st.none(), ids))
    return Manifest(
        id=name,
        round=draw(st.integers(0, 10**9)),
        parent=parent,
        lineage=draw(ids) if parent else name,
        created_at=draw(times),
        trained_until=draw(st.one_of(st.none(), times)),
        trigger=draw(texts),
        data=tuple(draw(st.lists(ranges, max_size=3))),
        learnt=draw(st.one_of(st.none(), learnt)),
        hyperparameters=draw(objects),
        gate=draw(st.one_of(st.none(), objects)),
        schema_fingerprint=draw(texts),
        model_fingerprint=draw(texts),
        versions=draw(st.dictionaries(texts, texts, max_size=2)),
        fence=draw(st.integers(0)),
    )


@examples(100)
@given(manifests())
def test_a_manifest_survives_json(manifest: Manifest) -> None:
    """Equal, key by key."""
    assert Manifest.parse(json.loads(canonical_json(manifest.model_dump(mode="json"))), "m") == manifest


@examples(300)
@given(manifests(), st.data())
def test_a_changed_manifest_is_read_or_refused(manifest: Manifest, data: st.DataObject) -> None:
    """With any values in place of some: what comes back says what was given, else a StoreError names the place."""
    whole = manifest.model_dump(mode="json")
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.one_of(st.sampled_from([*whole]), texts))
        whole[name] = data.draw(values)
    try:
        read = Manifest.parse(whole, "m")
    except StoreError as error:
        told = str(error)
        assert told.startswith(("m: damaged", "m: has format"))
    else:
        assert is_id(read.id)
        assert read.round >= 0
        assert {*whole} <= {*Manifest.model_fields}


@examples(100)
@given(objects)
def test_an_object_that_is_no_manifest_is_damaged(value: dict[str, Any]) -> None:
    """Or of a newer format, if it says so."""
    if isinstance(value.get("format_version"), int):
        value["format_version"] = FORMAT_VERSION
    with pytest.raises(CheckpointDamagedError, match=r"^m: damaged"):
        Manifest.parse(value, "m")


@examples(100)
@given(st.lists(st.integers(0, 10**12 - 1), min_size=2, max_size=2))
def test_ids_are_ordered_by_their_number(numbers: list[int]) -> None:
    """However many digits it has."""
    one, other = map(fresh_id, numbers)
    assert is_id(one)
    if numbers[0] != numbers[1]:
        assert (age(one) < age(other)) == (numbers[0] < numbers[1])
