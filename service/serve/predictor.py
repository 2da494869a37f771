"""The model that answers: one reference, taken once by each request and replaced as a whole by the watcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np

from service.model.learned import LearnedModel
from service.records import FloatArray
from service.serve.instances import MAX_ERRORS, encode_instances
from service.serve.problems import FieldError, ProblemError, pointer
from service.store.manifest import Manifest

Prediction = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """One checkpoint ready to answer; ``since_seconds`` is the Unix time from which it does."""

    checkpoint_id: str
    manifest: Manifest
    model: LearnedModel
    since_seconds: float


class Predictor:
    """Holds what serves. Replacing the reference is atomic, so that no request sees half a swap and none waits.

    ``trouble`` says in one line why the latest checkpoint does not serve, None if it does.
    """

    def __init__(self) -> None:
        self.current: Serving | None = None
        self.trouble: str | None = None

    def ready(self) -> str | None:
        """Return None once a checkpoint serves, else why none does."""
        return None if self.current is not None else self.trouble or "no checkpoint has been read yet"


def predict(model: LearnedModel, instances: Sequence[Any]) -> list[Prediction]:
    """Return for each instance its label, its scores and, if there are any, its warnings.

    Classification: ``label`` is the likeliest label, ``scores`` every label's probability. Regression: ``label`` is the
    value itself, ``scores`` is ``{"value": it}``. Raises ProblemError 422.
    """
    numbers, codes, warnings = encode_instances(model, instances)
    with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers, refused below
        outputs = model.predict(numbers, codes)
    _refuse_overflow(outputs)
    answers = _answers(model, outputs)
    for answer, said in zip(answers, warnings, strict=True):
        if said:
            answer["warnings"] = said
    return answers


def warm_up(model: LearnedModel) -> None:
    """Answer once beside the running service, so that no request pays for a first time.

    Raises ValueError if the answer is no number, or cannot be written as JSON.
    """
    numbers = np.zeros((1, model.columns.width))
    codes = np.zeros((1, len(model.columns.categorical)), dtype=np.int64)
    outputs = model.predict(numbers, codes)
    if not np.isfinite(outputs).all():
        message = "its weights give NaN or infinity"
        raise ValueError(message)
    msgspec.json.encode(_answers(model, outputs))


def _refuse_overflow(outputs: FloatArray) -> None:
    overflowed = np.flatnonzero(~np.isfinite(outputs).all(axis=1)).tolist()
    if overflowed:
        detail = "the model has no finite answer for these values"
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            detail,
            errors=[FieldError(pointer("instances", index), detail) for index in overflowed[:MAX_ERRORS]],
        )


def _answers(model: LearnedModel, outputs: FloatArray) -> list[Prediction]:
    if model.task == "regression":
        return [{"label": value, "scores": {"value": value}} for value in outputs[:, 0].tolist()]
    likeliest = outputs.argmax(axis=1).tolist()
    return [
        {"label": model.labels[best], "scores": dict(zip(model.labels, row, strict=True))}
        for best, row in zip(likeliest, outputs.tolist(), strict=True)
    ]
