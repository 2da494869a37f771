"""What an event's features must look like, and how they become columns."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.records import FloatArray
from service.settings import Schema

FEATURE_REASONS = ("missing_feature", "unknown_feature", "wrong_type", "not_finite")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an event's features: a reason of refusal, the feature's name if there is one, words."""

    reason: str
    feature: str | None
    detail: str


class FeatureColumns:
    """The schema's features in column order: numeric, then boolean (both are numbers), then categorical."""

    def __init__(self, schema: Schema) -> None:
        self.numeric = schema.numeric
        self.boolean = schema.boolean
        self.categorical = schema.categorical
        self.numbers = schema.numeric + schema.boolean
        self.names = schema.names
        self.nullable = frozenset(schema.nullable)
        self._known = frozenset(self.names)
        self._checks = (
            *((name, _number_fault) for name in schema.numeric),
            *((name, _boolean_fault) for name in schema.boolean),
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
        """Turn n fitting rows into numbers [n, numeric + boolean], NaN where missing, and a column a category."""
        width = len(self.numbers)
        if not rows:
            return np.empty((0, width)), [() for _ in self.categorical]
        by_column = list(zip(*rows, strict=True))
        numbers = np.empty((len(rows), width))
        for index in range(width):
            numbers[:, index] = np.array(by_column[index], dtype=np.float64)
        return numbers, list(by_column[width:])


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


def _category_fault(name: str, value: object) -> Fault | None:
    if not isinstance(value, str):
        return Fault("wrong_type", name, f"{name} must be a string, not {kind_of(value)}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return Fault("wrong_type", name, f"{name} holds half a surrogate pair, which is not text")
    return None
