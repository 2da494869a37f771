"""Turns the instances of a request into a model's columns, or says of every field what is wrong with it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np

from service.model.features import Fault, FeatureColumns
from service.model.learned import LearnedModel
from service.model.vocabulary import UNKNOWN
from service.records import FloatArray, IntArray
from service.serve.problems import FieldError, ProblemError, clipped, pointer

MAX_ERRORS = 100
"""Faults that one answer names; a request with more is usually wrong in the same way everywhere."""


def encode_instances(model: LearnedModel, instances: Sequence[Any]) -> tuple[FloatArray, IntArray, list[list[str]]]:
    """Return numbers [n, width], codes [n, categorical], and each instance's warnings.

    A value that the model never saw in a categorical feature is a warning. Raises ProblemError 422, which names up to
    MAX_ERRORS faults.
    """
    errors: list[FieldError] = []
    for index, instance in enumerate(instances):
        errors += [_field_error(index, fault) for fault in model.columns.faults(instance)]
        if len(errors) > MAX_ERRORS:
            break
    if errors:
        named = errors[:MAX_ERRORS]
        more = f"; only the first {MAX_ERRORS} faults are named" if len(errors) > MAX_ERRORS else ""
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"{named[0].detail}, and {len(named) - 1} more{more}" if named[1:] else named[0].detail,
            errors=named,
        )
    numbers, texts = model.columns.columns([model.columns.row(instance) for instance in instances])
    codes = model.categories.encode(texts, grow=False, rows=len(instances))
    return numbers, codes, _warnings(model.columns, codes, instances)


def _field_error(index: int, fault: Fault) -> FieldError:
    steps = [step for step in (fault.feature, fault.element) if step is not None]
    return FieldError(pointer("instances", index, *steps), fault.detail)


def _warnings(columns: FeatureColumns, codes: IntArray, instances: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    warnings: list[list[str]] = [[] for _ in instances]
    for row, column in np.argwhere(codes == UNKNOWN).tolist():
        name = columns.categorical[column]
        value = clipped(instances[row][name])
        warnings[row].append(f"{name} has the value {value!r}, which the model has not learnt; it counts as unknown")
    return warnings
