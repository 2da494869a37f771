"""Arrays as safetensors bytes."""

import numpy as np
import pytest

from service.errors import CheckpointDamagedError
from service.store.arrays import pack, unpack


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(12, dtype=np.float32)[::3],
        np.array(3.5),
        np.zeros((0, 5)),
        np.array([True, False]),
        np.array([2**64 - 1], dtype=np.uint64),
        np.array([-1, 2], dtype=">i8"),
        np.array([np.nan, np.inf, -0.0]),
    ],
    ids=["matrix", "transposed", "strided", "scalar", "empty", "boolean", "uint64", "big endian", "not finite"],
)
def test_an_array_comes_back_as_it_was(array: np.ndarray) -> None:
    """Shape, kind and every element, whatever way it lay in memory; and it may be written to."""
    back = unpack(pack({"a": array}), "f")["a"]

    np.testing.assert_array_equal(back, array)
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.flags.writeable


def test_what_is_no_number_is_refused_by_name() -> None:
    """Text would need pickle, which is never used."""
    with pytest.raises(TypeError, match="names: <U1"):
        pack({"names": np.array(["a"]), "fine": np.zeros(1)})


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 100, pack({"a": np.zeros(3)})[:-1]])
def test_other_bytes_are_damaged(data: bytes) -> None:
    """Whatever safetensors cannot read is reported with its file."""
    with pytest.raises(CheckpointDamagedError, match=r"^f: damaged"):
        unpack(data, "f")
