"""Tensors in JSON and in bytes."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serve.problems import ProblemError
from service.serve.protocol.tensors import DTYPES, Tensor, numbers_of, texts_of
from tests.unit.serve.inference import framed


def sent(datatype: str, shape: tuple[int, ...], data: list[Any] | None = None, raw: bytes = b"") -> Tensor:
    """Return a tensor named x."""
    return Tensor("x", datatype, shape, data, memoryview(raw))


def fault_of(tensor: Tensor) -> str:
    """Return what is said of a tensor that is refused with 400."""
    with pytest.raises(ProblemError) as caught:
        (texts_of if tensor.datatype == "BYTES" else numbers_of)(tensor)
    assert caught.value.status == 400
    assert caught.value.detail.startswith("input 'x' ")
    return caught.value.detail


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"BOOL"}))
def test_every_datatype_of_numbers_is_read_from_bytes_and_from_json(datatype: str) -> None:
    """Little-endian, row by row; both ways give the same doubles."""
    raw = np.array([0, 1, 100], dtype=DTYPES[datatype]).tobytes()
    assert numbers_of(sent(datatype, (3,), raw=raw)).tolist() == [0.0, 1.0, 100.0]
    assert numbers_of(sent(datatype, (3,), [0, 1, 100])).tolist() == [0.0, 1.0, 100.0]


def test_booleans_are_bytes_0_and_1_or_json_s_own() -> None:
    """Another byte is refused by its row, and so is a number in JSON."""
    assert numbers_of(sent("BOOL", (2,), raw=b"\x01\x00")).tolist() == [1.0, 0.0]
    assert numbers_of(sent("BOOL", (2,), [True, False])).tolist() == [1.0, 0.0]
    assert "row 1 must be a byte 0 or 1, not 2" in fault_of(sent("BOOL", (2,), raw=b"\x01\x02"))
    assert "row 0 must hold true or false, not a number" in fault_of(sent("BOOL", (1,), [1]))


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]], ids=["flat", "nested"])
def test_json_may_be_flat_or_nested(data: list[Any]) -> None:
    """Row-major either way."""
    assert numbers_of(sent("FP32", (2, 2), data)).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_null_is_a_missing_value_and_a_missing_row() -> None:
    """NaN among numbers, None among texts."""
    np.testing.assert_array_equal(numbers_of(sent("INT8", (3,), [1, None, 3])), [1, np.nan, 3])
    np.testing.assert_array_equal(numbers_of(sent("FP64", (2, 2), [None, [1, 2]])), [np.nan, np.nan, 1, 2])
    np.testing.assert_array_equal(numbers_of(sent("FP64", (2, 1), [None, 2])), [np.nan, 2])
    assert texts_of(sent("BYTES", (2,), [None, ""])) == [None, ""]


def test_a_double_keeps_all_its_digits_and_a_single_does_not() -> None:
    """As the datatype says; what is too large for it becomes infinite, which others refuse."""
    assert numbers_of(sent("FP64", (1,), [0.1])).tolist() == [0.1]
    assert numbers_of(sent("FP32", (1,), [0.1])).tolist() == [float(np.float32(0.1))]
    assert numbers_of(sent("FP32", (1,), [1e300])).tolist() == [float("inf")]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "said"),
    [
        ("FP64", (3,), [1, 2], "has shape [3], which is 3 elements, but data with 2"),
        ("FP64", (2, 2), [1, 2, 3], "has shape [2, 2], which is 4 elements, but data with 3"),
        ("FP64", (2, 2), [[1, 2], [3]], "has 1 elements in row 1; its shape says 2"),
        ("FP64", (2, 2), [[1, 2], 3], "row 1 must be an array, not a number"),
        ("FP64", (2,), [[1], [2]], "row 0 must hold a number, not an array"),
        ("FP64", (2,), [1, "2"], "row 1 must hold a number, not a string"),
        ("FP64", (1,), [True], "row 0 must hold a number, not a boolean"),
        ("FP64", (1,), [{}], "row 0 must hold a number, not an object"),
        ("FP64", (1,), [10**400], "holds a number that does not fit it"),
        ("INT64", (2, 2), [1, 2, 3, 4.5], "row 1 must hold a whole number, not 4.5"),
        ("INT8", (1,), [300], "is INT8, but holds a number that does not fit it"),
        ("UINT8", (1,), [-1], "is UINT8, but holds a number that does not fit it"),
        ("BYTES", (1,), [7], "row 0 must hold a string, not a number"),
        ("BYTES", (2,), ["a", "\ud800"], "half a surrogate pair in row 1"),
    ],
)
def test_wrong_json_is_refused_where_it_is_wrong(datatype: str, shape: tuple[int, ...], data: Any, said: str) -> None:
    """The input is named, and the row."""
    assert said in fault_of(sent(datatype, shape, data))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "said"),
    [
        ("FP64", (2,), b"\0" * 15, "has shape [2] of FP64, which is 16 bytes, but binary_data_size 15"),
        ("FP64", (2,), b"\0" * 24, "which is 16 bytes, but binary_data_size 24"),
        ("FP64", (10**17, 10**17), b"", "but binary_data_size 0"),
        ("BYTES", (2,), framed(b"a"), "takes a length of 4 bytes for each of 2 elements"),
        ("BYTES", (2,), framed(b"abcd"), "ends within the length of row 1"),
        ("BYTES", (1,), framed(b"a", b"b"), "has 5 bytes more than its 1 elements take"),
        ("BYTES", (1,), struct.pack("<I", 2**32 - 1), "has the length 4294967295 in row 0, but 0 bytes are left"),
        ("BYTES", (2,), framed(b"a", b"\xff"), "is not UTF-8 in row 1"),
    ],
)
def test_wrong_bytes_are_refused_where_they_are_wrong(
    datatype: str, shape: tuple[int, ...], raw: bytes, said: str
) -> None:
    """Truncated, too long, or with lengths that lie."""
    assert said in fault_of(sent(datatype, shape, raw=raw))


@given(
    datatype=st.sampled_from([*DTYPES, "BYTES"]),
    shape=st.lists(st.integers(0, 4) | st.just(10**17), min_size=1, max_size=3).map(tuple),
    raw=st.binary(max_size=64) | st.lists(st.binary(max_size=4)).map(lambda texts: framed(*texts)),
)
def test_any_bytes_are_read_or_refused(datatype: str, shape: tuple[int, ...], raw: bytes) -> None:
    """Never anything else; what is read has exactly as many elements as its shape."""
    tensor = sent(datatype, shape, raw=raw)
    try:
        elements: Any = texts_of(tensor) if datatype == "BYTES" else numbers_of(tensor)
    except ProblemError as error:
        found = error.status
    else:
        found = 200 if len(elements) == tensor.size else 0
    assert found in {200, 400}
