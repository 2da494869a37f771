"""Turns the instances of a request into a model's columns, or says of every field what is wrong with it."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import numpy as np

from service.model.features import Fault
from service.model.learned import LearnedModel
from service.model.vocabulary import UNKNOWN
from service.records import FloatArray, IntArray
from service.serve.problems import FieldError, ProblemError, clipped, pointer

MAX_ERRORS = 100
"""Faults that one answer names; a request with more is usually wrong in the same way everywhere."""


def encode_instances(
    model: LearnedModel, instances: Sequence[Any], max_numbers: int
) -> tuple[FloatArray, IntArray, list[list[str]]]:
    """Return numbers [n, width], codes [n, categorical], and each instance's warnings, none if no one has any.

    A value that the model never saw in a categorical feature is a warning. Raises ProblemError: 422, which names up to
    MAX_ERRORS faults, and 413 for more than ``max_numbers`` numbers, missing ones counted.
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
    width = model.columns.width
    if len(instances) * width > max_numbers:  # no body holds so many, but missing vectors take room, too
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{len(instances)} instances of {width} numbers are more than fit at once; send them in parts",
        )
    rows = [model.columns.row(instance) for instance in instances]
    numbers, texts = model.columns.columns(rows)
    codes = model.categories.encode(texts, grow=False, rows=len(instances))
    return numbers, codes, warnings_of(model, codes, rows)


def _field_error(index: int, fault: Fault) -> FieldError:
    steps = [step for step in (fault.feature, fault.element) if step is not None]
    return FieldError(pointer("instances", index, *steps), fault.detail)


def warnings_of(model: LearnedModel, codes: IntArray, rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Return what each of the ``rows`` is to be warned of, given its codes [n, categorical]; empty if nobody is.

    A row holds the values of the model's features in their order.
    """
    if not codes.size or UNKNOWN not in codes:
        return []
    columns = model.columns
    warnings: list[list[str]] = [[] for _ in rows]
    first = len(columns.names) - len(columns.categorical)
    for row, column in np.argwhere(codes == UNKNOWN).tolist():
        name, value = columns.categorical[column], clipped(rows[row][first + column])
        warnings[row].append(f"{name} has the value {value!r}, which the model has not learnt; it counts as unknown")
    return warnings
