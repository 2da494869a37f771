"""Tensors as they are sent, in JSON or in bytes, and what they hold: numbers or texts, row by row.

Lengths are held against the shape before anything is made of them, and nothing is made beyond what was sent.
"""

import math
import struct
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from service.model.features import kind_of
from service.records import FloatArray
from service.serve.problems import clipped
from service.serve.protocol.errors import input_fault

FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
INTEGERS = {f"{sign}INT{bits}": f"<{sign.lower() or 'i'}{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
BOOL = "BOOL"
BYTES = "BYTES"
NUMBERS = (*FLOATS, *INTEGERS)
DTYPES = {**FLOATS, **INTEGERS, BOOL: "u1"}
"""Little-endian, whatever this machine is."""

_LENGTH = struct.Struct("<I")


class Tensor(NamedTuple):
    """An input as it was sent: ``data`` if in JSON, else ``raw``. Its shape's sizes are not negative."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None
    raw: memoryview

    @property
    def size(self) -> int:
        """How many elements the shape has."""
        return math.prod(self.shape)

    def row_of(self, element: int) -> int:
        """Return in which row an element stands."""
        return element // max(1, math.prod(self.shape[1:]))

    def shown(self) -> str:
        """Return the shape as it is written."""
        return clipped(f"[{', '.join(map(str, self.shape))}]")


def numbers_of(tensor: Tensor) -> FloatArray:
    """Return the elements of a tensor of NUMBERS or BOOL, in row-major order: NaN where null.

    Raises ProblemError 400 if there are more or fewer than its shape says, or others than its datatype says.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers too large for their type; others refuse infinity
        return _binary_numbers(tensor) if tensor.data is None else _json_numbers(tensor, _flat(tensor, tensor.data))


def texts_of(tensor: Tensor) -> list[str | None]:
    """Return the elements of a tensor of BYTES as text: None where null.

    Raises ProblemError 400 if there are more or fewer than its shape says, or what is no text.
    """
    return _binary_texts(tensor) if tensor.data is None else _json_texts(tensor, _flat(tensor, tensor.data))


def _flat(tensor: Tensor, data: list[Any]) -> list[Any]:
    """Return the elements, whether they came flat or nested by rows; a row may be null as a whole."""
    rows, *inner = tensor.shape
    width = math.prod(inner)
    nested = bool(inner) and len(data) == rows and (width != 1 or any(isinstance(row, list) for row in data))
    if nested:
        data = [[None] * width if row is None else row for row in data]
        for index, row in enumerate(data):
            if not isinstance(row, list):
                raise input_fault(tensor.name, f"is nested: row {index} must be an array, not {kind_of(row)}")
            if len(row) != width:
                raise input_fault(tensor.name, f"has {len(row)} elements in row {index}; its shape says {width}")
        data = list(chain.from_iterable(data))
    if len(data) != tensor.size:
        raise input_fault(
            tensor.name, f"has shape {tensor.shown()}, which is {tensor.size} elements, but data with {len(data)}"
        )
    return data


def _json_numbers(tensor: Tensor, data: list[Any]) -> FloatArray:
    kinds, words = {int, float}, "a number"
    if tensor.datatype == BOOL:
        kinds, words = {bool}, "true or false"
    elif tensor.datatype in INTEGERS:
        kinds, words = {int}, "a whole number"
    found = set(map(type, data))
    if not found <= kinds | {type(None)}:
        at, value = next((at, value) for at, value in enumerate(data) if value is not None and type(value) not in kinds)
        row = tensor.row_of(at)
        raise input_fault(tensor.name, f"is {tensor.datatype}: row {row} must hold {words}, not {_said(value)}")
    present = data if type(None) not in found else [value for value in data if value is not None]
    try:
        values = np.array(present, dtype=DTYPES[tensor.datatype]).astype(np.float64)
    except OverflowError:
        raise input_fault(tensor.name, f"is {tensor.datatype}, but holds a number that does not fit it") from None
    if present is data:
        return values
    numbers = np.full(len(data), np.nan)
    numbers[[value is not None for value in data]] = values
    return numbers


def _said(value: object) -> str:
    return repr(value) if isinstance(value, float) else kind_of(value)


def _binary_numbers(tensor: Tensor) -> FloatArray:
    dtype = np.dtype(DTYPES[tensor.datatype])
    wanted = tensor.size * dtype.itemsize
    if len(tensor.raw) != wanted:
        raise input_fault(
            tensor.name,
            f"has shape {tensor.shown()} of {tensor.datatype}, which is {wanted} bytes, "
            f"but binary_data_size {len(tensor.raw)}",
        )
    values = np.frombuffer(tensor.raw, dtype=dtype)
    if tensor.datatype == BOOL and (values > 1).any():
        at = int(np.argmax(values > 1))
        raise input_fault(tensor.name, f"is BOOL: row {tensor.row_of(at)} must be a byte 0 or 1, not {values[at]}")
    return values.astype(np.float64)


def _json_texts(tensor: Tensor, data: list[Any]) -> list[str | None]:
    for at, value in enumerate(data):
        if value is not None and not isinstance(value, str):
            row = tensor.row_of(at)
            raise input_fault(tensor.name, f"is BYTES: row {row} must hold a string, not {kind_of(value)}")
        if value is not None and not is_text(value):
            row = tensor.row_of(at)
            raise input_fault(tensor.name, f"holds half a surrogate pair in row {row}, which is not text")
    return data


def is_text(value: str) -> bool:
    """Tell whether a string from JSON can be encoded: half a surrogate pair cannot."""
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _binary_texts(tensor: Tensor) -> list[str | None]:
    raw, at, texts = tensor.raw, 0, list[str | None]()
    if tensor.size * _LENGTH.size > len(raw):
        raise input_fault(
            tensor.name,
            f"has shape {tensor.shown()}, which takes a length of 4 bytes for each of {tensor.size} elements, "
            f"but binary_data_size {len(raw)}",
        )
    for element in range(tensor.size):
        begin = at + _LENGTH.size
        if begin > len(raw):
            raise input_fault(tensor.name, f"ends within the length of row {tensor.row_of(element)}")
        (length,) = _LENGTH.unpack_from(raw, at)
        at = begin + length
        if at > len(raw):
            row, left = tensor.row_of(element), len(raw) - begin
            raise input_fault(tensor.name, f"has the length {length} in row {row}, but {left} bytes are left")
        try:
            texts.append(str(raw[begin:at], "utf-8"))
        except UnicodeDecodeError:
            raise input_fault(tensor.name, f"is not UTF-8 in row {tensor.row_of(element)}") from None
    if at != len(raw):
        raise input_fault(tensor.name, f"has {len(raw) - at} bytes more than its {tensor.size} elements take")
    return texts
