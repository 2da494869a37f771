"""What an event's features must look like, and how they become columns."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from service.records import FloatArray
from service.settings import Schema

FEATURE_REASONS = ("missing_feature", "unknown_feature", "wrong_type", "not_finite")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an event's features: a reason of refusal, the feature's name if there is one, words.

    ``element`` is the place in a vector of the number that is wrong, None where it is the whole feature.
    """

    reason: str
    feature: str | None
    detail: str
    element: int | None = None


class FeatureColumns:
    """The schema's features in column order: numeric, boolean, then vectors (all are numbers), then categorical.

    A vector is as many columns as it is long: ``vectors`` says which. ``numbers`` are the features of one number each,
    ``width`` is how many columns of numbers there are.
    """

    def __init__(self, schema: Schema) -> None:
        self.numeric = schema.numeric
        self.boolean = schema.boolean
        self.categorical = schema.categorical
        self.numbers = schema.numeric + schema.boolean
        self.vectors = vector_columns(schema)
        self.width = len(self.numbers) + sum(schema.vector.values())
        self.names = schema.names
        self.nullable = frozenset(schema.nullable)
        self._known = frozenset(self.names)
        self._checks: tuple[tuple[str, Callable[[str, object], Fault | None]], ...] = (
            *((name, _number_fault) for name in schema.numeric),
            *((name, _boolean_fault) for name in schema.boolean),
            *((name, partial(_vector_fault, length)) for name, length in schema.vector.items()),
            *((name, _category_fault) for name in schema.categorical),
        )

    def faults(self, features: object) -> list[Fault]:
        """Return all that is wrong with one event's features, in the order of FEATURE_REASONS; empty if they fit."""
        if not isinstance(features, Mapping):
            return [Fault("wrong_type", None, f"features must be an object, not {kind_of(features)}")]
        found = [
            Fault("missing_feature", name, f"{name} is missing")
            for name in self.names
            if features.get(name) is None and name not in self.nullable
        ]
        found += [
            Fault("unknown_feature", str(name), f"{name} is not in the schema")
            for name in features
            if name not in self._known
        ]
        for name, check in self._checks:
            value = features.get(name)
            fault = None if value is None else check(name, value)
            if fault is not None:
                found.append(fault)
        return sorted(found, key=lambda fault: FEATURE_REASONS.index(fault.reason))

    def row(self, features: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return one fitting event's values in column order, None where missing."""
        return tuple(features.get(name) for name in self.names)

    def columns(self, rows: Sequence[Sequence[Any]]) -> tuple[FloatArray, list[Iterable[str | None]]]:
        """Turn n fitting rows into numbers [n, width], NaN where missing, and a column a category."""
        numbers = np.empty((len(rows), self.width))
        if not rows:
            return numbers, [() for _ in self.categorical]
        by_column = list(zip(*rows, strict=True))
        scalars = len(self.numbers)
        for index in range(scalars):
            numbers[:, index] = np.array(by_column[index], dtype=np.float64)
        for index, place in enumerate(self.vectors.values(), start=scalars):
            absent = [np.nan] * (place.stop - place.start)
            vectors = [absent if vector is None else vector for vector in by_column[index]]
            numbers[:, place] = np.array(vectors, dtype=np.float64)
        return numbers, list(by_column[scalars + len(self.vectors) :])

    @property
    def watched(self) -> tuple[str, ...]:
        """What the columns of a ``summary`` are called: a vector's mean as itself, its spread ``<name>.spread``."""
        return self.numbers + tuple(part for name in self.vectors for part in (name, f"{name}.spread"))

    def summary(self, numbers: FloatArray) -> FloatArray:
        """Return numbers [n, width] with two in the place of each vector, the mean and the deviation of its elements.

        What is watched for drift is as many series however long vectors are.
        """
        if not self.vectors:
            return numbers
        parts = [numbers[:, : len(self.numbers)]]
        with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers
            for place in self.vectors.values():
                vector = numbers[:, place]
                parts.append(np.column_stack([vector.mean(axis=1), vector.std(axis=1)]))
        return np.concatenate(parts, axis=1)


def vector_columns(schema: Schema) -> dict[str, slice]:
    """Return which columns of numbers each vector takes, behind those of the numeric and boolean features."""
    places: dict[str, slice] = {}
    begin = len(schema.numeric) + len(schema.boolean)
    for name, length in schema.vector.items():
        places[name] = slice(begin, begin + length)
        begin += length
    return places


def kind_of(value: object) -> str:
    """Return the JSON name of a value's type, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, Mapping) else "an array"


def finite(value: float) -> bool:
    """Tell whether a JSON number fits a double: not NaN, not infinite, not an integer beyond its range."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _number_fault(name: str, value: object) -> Fault | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault("wrong_type", name, f"{name} must be a number, not {kind_of(value)}")
    if not finite(value):
        return Fault("not_finite", name, f"{name} is NaN, infinite or too large")
    return None


def _boolean_fault(name: str, value: object) -> Fault | None:
    if not isinstance(value, bool):
        return Fault("wrong_type", name, f"{name} must be true or false, not {kind_of(value)}")
    return None


def _vector_fault(length: int, name: str, value: object) -> Fault | None:
    """Return what is wrong with a vector: of its numbers the first that is none, else the first that is not finite."""
    if not isinstance(value, list | tuple):
        return Fault("wrong_type", name, f"{name} must be an array of {length} numbers, not {kind_of(value)}")
    if len(value) != length:
        return Fault("wrong_type", name, f"{name} must have {length} numbers, not {len(value)}")
    faults = (_number_fault(f"{name}[{place}]", element) for place, element in enumerate(value))
    found = [(place, fault) for place, fault in enumerate(faults) if fault is not None]
    if not found:
        return None
    place, first = next((one for one in found if one[1].reason == "wrong_type"), found[0])
    return Fault(first.reason, name, first.detail, place)


def _category_fault(name: str, value: object) -> Fault | None:
    if not isinstance(value, str):
        return Fault("wrong_type", name, f"{name} must be a string, not {kind_of(value)}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return Fault("wrong_type", name, f"{name} holds half a surrogate pair, which is not text")
    return None
