"""Snapshots come back bit by bit, the newest whole one decides, and damage is passed over or told."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from structlog.testing import capture_logs

from service.errors import CheckpointDamagedError
from service.store.canonical import exact_json
from service.store.snapshot import SnapshotStore
from tests.properties.effort import examples
from tests.properties.store.json_values import objects

IDENTITY = {"task": "binary", "numeric": ["a"]}
columns = st.dictionaries(
    st.sampled_from(["window.keys", "weights/main/a", "moments", "\u00fc"]),
    st.sampled_from(["f8", "f4", "i8", "u8", "?"]).flatmap(
        lambda kind: arrays.arrays(np.dtype(kind), arrays.array_shapes(max_dims=2, min_side=0, max_side=3))
    ),
    max_size=4,
)


def same(one: Any, other: Any) -> bool:
    """Tell whether two states of arrays and plain values are equal, NaN included."""
    return (
        one[0].keys() == other[0].keys()
        and all(
            one[0][name].dtype == other[0][name].dtype and one[0][name].tobytes() == other[0][name].tobytes()
            for name in one[0]
        )
        and exact_json(one[1]) == exact_json(other[1])
    )


@examples(60)
@given(columns, objects)
def test_a_state_comes_back_bit_by_bit(held: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Arrays of every kind, empty ones too, and plain values with NaN and infinities."""
    with tempfile.TemporaryDirectory() as place:
        store = SnapshotStore(Path(place), IDENTITY)
        store.save(held, meta)
        loaded = store.load()
        assert loaded is not None
        assert same(loaded, (held, json.loads(exact_json(meta))))


@examples(60)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.sets(st.integers(1, 4)),
    st.sampled_from(["manifest.json", "meta.json", "arrays.safetensors"]),
    st.data(),
)
def test_the_newest_whole_one_decides(saved: int, keep: int, damaged: set[int], name: str, data: st.DataObject) -> None:
    """Of those that are kept; none whole is told, and never taken for a first start."""
    with tempfile.TemporaryDirectory() as place, capture_logs():
        store = SnapshotStore(Path(place), IDENTITY, keep)
        for number in range(1, saved + 1):
            store.save({"a": np.full(3, number)}, {"number": number})
        kept = {*range(max(1, saved - keep + 1), saved + 1)}
        for number in kept & damaged:
            path = Path(place) / f"{number:010d}" / name
            whole = bytearray(path.read_bytes())
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
            path.write_bytes(whole)
        left = kept - damaged
        try:
            loaded = store.load()
        except CheckpointDamagedError:
            assert not left
        else:
            assert loaded is not None
            assert loaded[1] == {"number": max(left)}
            assert loaded[0]["a"].tolist() == [max(left)] * 3
