"""Arrays come back bit by bit, of every kind and shape; other bytes are damage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.errors import CheckpointDamagedError
from service.store.arrays import pack, unpack
from tests.properties.effort import examples

KINDS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f8", ">i4")
shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
some = st.sampled_from(KINDS).flatmap(lambda kind: arrays.arrays(np.dtype(kind), shapes))
views = st.sampled_from([lambda array: array, np.transpose, lambda array: array[..., ::2] if array.ndim else array])
named = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "__metadata__"), st.tuples(some, views), max_size=4
)


@examples(150)
@given(named)
def test_arrays_come_back_bit_by_bit(drawn: dict[str, tuple[np.ndarray, object]]) -> None:
    """NaN's payload, minus zero, infinities, empty ones and views included; and they can be written to."""
    given_arrays = {name: view(array) for name, (array, view) in drawn.items() if callable(view)}
    back = unpack(pack(given_arrays), "here")
    assert list(back) == sorted(given_arrays)
    for name, array in given_arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert back[name].shape == array.shape
        assert back[name].dtype == native.dtype
        assert back[name].tobytes() == native.tobytes()
        assert back[name].flags.writeable


@examples(300)
@given(named, st.one_of(st.none(), st.binary(max_size=40)), st.data())
def test_other_bytes_are_damage_and_nothing_worse(
    drawn: dict[str, tuple[np.ndarray, object]], anything: bytes | None, data: st.DataObject
) -> None:
    """Any bytes, and packed ones with some changed: arrays come back, or CheckpointDamagedError."""
    whole = bytearray(pack({name: array for name, (array, _) in drawn.items()}) if anything is None else anything)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        unpack(bytes(whole), "here")
    except CheckpointDamagedError as error:
        told = str(error)
        assert told.startswith("here: damaged, not safetensors")


@pytest.mark.parametrize("array", [np.array(["x"]), np.array([object()]), np.array([1j])])
def test_what_cannot_be_stored_says_so(array: np.ndarray) -> None:
    """Nothing is pickled."""
    with pytest.raises(TypeError, match="cannot be stored"):
        pack({"a": array})
