"""From tensors to a model's columns: which inputs there are, what each takes, and what is missing in them.

A number is missing where it is NaN or null, a text where it is null or, in bytes, empty; a feature where its input is
absent. All of that is for nullable features alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

import numpy as np

from service.model.features import FeatureColumns
from service.model.learned import LearnedModel
from service.model.vocabulary import UNKNOWN
from service.records import BoolArray, FloatArray, IntArray
from service.serve.problems import ProblemError, clipped
from service.serve.protocol.errors import input_fault, refused
from service.serve.protocol.tensors import BOOL, BYTES, NUMBERS, Tensor, numbers_of, texts_of
from service.settings import Serve

PACKED = "features"
MOST_NAMED = 10
MOST_SHOWN = 3


class Feature(NamedTuple):
    """A feature as an input: ``kind`` is that of the schema, ``width`` its columns of numbers, None for [n] rows."""

    name: str
    kind: str
    width: int | None
    nullable: bool

    @property
    def datatype(self) -> str:
        """The datatype that it is declared as; a number is a double, as it is everywhere else in here."""
        return {"boolean": BOOL, "categorical": BYTES}.get(self.kind, "FP64")


class Columns(NamedTuple):
    """Numbers [n, width], NaN where missing, codes [n, categorical], and what the answer is to warn of, if anything.

    ``texts`` are the categories of each row as they came, None without any.
    """

    numbers: FloatArray
    codes: IntArray
    warning: str
    texts: list[tuple[str | None, ...]] | None = None


def features_of(columns: FeatureColumns) -> list[Feature]:
    """Return a model's features in the order of its columns."""
    kinds = [("numeric", columns.numeric), ("boolean", columns.boolean), ("vector", columns.vectors)]
    lengths = {name: place.stop - place.start for name, place in columns.vectors.items()}
    return [
        Feature(name, kind, lengths.get(name), name in columns.nullable)
        for kind, names in [*kinds, ("categorical", columns.categorical)]
        for name in names
    ]


def packed_name(columns: FeatureColumns) -> str | None:
    """Return the name of the one input that holds all features: no feature has it. None where some are text."""
    if columns.categorical:
        return None
    name = PACKED
    while name in columns.names:
        name += "_"
    return name


def columns_of(tensors: Mapping[str, Tensor], model: LearnedModel, limits: Serve) -> Columns:
    """Return what tensors say in a model's columns.

    Raises ProblemError: 400, which names the input at fault, 413 for more than ``serve.max_instances`` rows.
    """
    columns = model.columns
    packed = packed_name(columns)
    rows = _rows(tensors.values(), columns.width, limits)
    if packed is not None and packed in tensors:
        if len(tensors) > 1:
            other = next(name for name in tensors if name != packed)
            raise input_fault(other, f"cannot come beside {packed!r}, which holds all features")
        return Columns(_unpacked(tensors[packed], columns), np.empty((rows, 0), dtype=np.int64), "")
    features = features_of(columns)
    _check_names(tensors, features)
    numbers = [
        _numbers(feature, tensors.get(feature.name), rows) for feature in features if feature.kind != "categorical"
    ]
    texts = [_texts(feature, tensors.get(feature.name), rows) for feature in features if feature.kind == "categorical"]
    codes = model.categories.encode(texts, grow=False, rows=rows)
    joined = np.concatenate(numbers, axis=1) if numbers else np.empty((rows, 0))
    return Columns(joined, codes, "; ".join(_warnings(columns.categorical, codes, texts)), _by_row(texts))


def _rows(tensors: Iterable[Tensor], width: int, limits: Serve) -> int:
    """Return how many rows all tensors have."""
    first = None
    for tensor in tensors:
        first = first or tensor
        if tensor.shape[0] != first.shape[0]:
            raise input_fault(
                tensor.name,
                f"has {tensor.shape[0]} rows by its shape {tensor.shown()}, "
                f"but {clipped(first.name)!r} has {first.shape[0]}",
            )
    rows = first.shape[0] if first else 0
    if not rows:
        raise refused("inputs have no rows; at least one is needed")
    if rows > limits.max_instances:
        detail = f"the request has {rows} rows, but at most {limits.max_instances} are taken at once; send it in parts"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    # No body holds so many numbers; but rows of which features are missing need none.
    if rows * width > limits.max_body_bytes:
        detail = f"{rows} rows of {width} numbers are more than fit at once; send them in parts"
        raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return rows


def _check_names(tensors: Mapping[str, Tensor], features: list[Feature]) -> None:
    known = [feature.name for feature in features]
    taken = clipped(", ".join(known))
    strangers = [name for name in tensors if name not in known]
    if strangers:
        raise refused(f"{_inputs(strangers)} not known to this model, which takes {taken}")
    missing = [feature.name for feature in features if feature.name not in tensors and not feature.nullable]
    if missing:
        raise refused(f"{_inputs(missing)} missing; this model takes {taken}")


def _inputs(names: list[str]) -> str:
    named = ", ".join(repr(clipped(name)) for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"inputs {named}{more} are" if names[1:] else f"input {named} is"


def _numbers(feature: Feature, tensor: Tensor | None, rows: int) -> FloatArray:
    """Return the columns [n, width] of a feature that is numbers."""
    width = feature.width or 1
    if tensor is None:
        return np.full((rows, width), np.nan)
    _check_shape(tensor, feature.width)
    if tensor.datatype not in NUMBERS and not (feature.kind == "boolean" and tensor.datatype == BOOL):
        other = f", or as numbers 0 and 1 ({', '.join(NUMBERS)})" if feature.kind == "boolean" else ""
        wanted = BOOL if feature.kind == "boolean" else f"numbers ({', '.join(NUMBERS)})"
        raise input_fault(feature.name, f"must be sent as {wanted}{other}, not {tensor.datatype}")
    values = numbers_of(tensor).reshape(rows, width)
    _check_values(values, feature, f"input {clipped(feature.name)!r}")
    return values


def _unpacked(tensor: Tensor, columns: FeatureColumns) -> FloatArray:
    """Return the columns [n, width] that came in one tensor."""
    _check_shape(tensor, columns.width)
    if tensor.datatype not in NUMBERS:
        raise input_fault(tensor.name, f"must be sent as numbers ({', '.join(NUMBERS)}), not {tensor.datatype}")
    values = numbers_of(tensor).reshape(-1, columns.width)
    begin = 0
    for feature in features_of(columns):
        end = begin + (feature.width or 1)
        _check_values(values[:, begin:end], feature, f"input {tensor.name!r}, {clipped(feature.name)}")
        begin = end
    return values


def _check_shape(tensor: Tensor, width: int | None) -> None:
    """Refuse all but [n, width]; or, for one value a row, [n] and [n, 1]."""
    inner = tensor.shape[1:]
    if inner == (width or 1,) or (width in {None, 1} and not inner):
        return
    wanted = "[n], one value a row" if width is None else f"[n, {width}], {width} numbers a row"
    raise input_fault(tensor.name, f"has shape {tensor.shown()}; it takes {wanted}")


def _check_values(values: FloatArray, feature: Feature, where: str) -> None:
    """Refuse values [n, width] that the feature cannot have, as POST /v1/predict does."""
    sound = np.isfinite(values)
    if not sound.all():
        if np.isinf(values).any():
            raise refused(f"{where}: row {_first(np.isinf(values))} is infinite, or too large for its datatype")
        if not feature.nullable:
            raise refused(f"{where}: row {_first(~sound)} is missing (NaN or null), and the feature is not nullable")
        partly = sound.any(axis=1, keepdims=True) & ~sound
        if partly.any():
            raise refused(f"{where}: row {_first(partly)} is missing in part (NaN or null); only all of it may be")
    if feature.kind == "boolean":
        neither = sound & (values != 0) & (values != 1)
        if neither.any():
            raise refused(f"{where}: row {_first(neither)} must be 0 or 1")


def _first(faults: BoolArray) -> int:
    """Return the first row of [n, width] with a fault."""
    return int(np.flatnonzero(faults.any(axis=1))[0])


def _texts(feature: Feature, tensor: Tensor | None, rows: int) -> list[str | None]:
    """Return a feature that is text, None where it is missing."""
    if tensor is None:
        return [None] * rows
    _check_shape(tensor, None)
    if tensor.datatype != BYTES:
        raise input_fault(feature.name, f"must be sent as BYTES, not {tensor.datatype}")
    texts = texts_of(tensor)
    if feature.nullable:
        # Bytes know no null.
        return texts if tensor.data is not None else [text or None for text in texts]
    if None in texts:
        raise input_fault(feature.name, f"is null in row {texts.index(None)}, and the feature is not nullable")
    return texts


def _by_row(texts: list[list[str | None]]) -> list[tuple[str | None, ...]] | None:
    return list(zip(*texts, strict=True)) if texts else None


def _warnings(names: Iterable[str], codes: IntArray, texts: list[list[str | None]]) -> Iterator[str]:
    """Yield for each categorical feature what the model has not learnt of it."""
    if UNKNOWN not in codes:
        return
    for column, (name, column_texts) in enumerate(zip(names, texts, strict=True)):
        rows = np.flatnonzero(codes[:, column] == UNKNOWN).tolist()
        if rows:
            shown = ", ".join(f"row {row}: {clipped(column_texts[row] or '')!r}" for row in rows[:MOST_SHOWN])
            more = f" and {len(rows) - MOST_SHOWN} more" if len(rows) > MOST_SHOWN else ""
            yield f"{name} has values that the model has not learnt, which count as unknown ({shown}{more})"
