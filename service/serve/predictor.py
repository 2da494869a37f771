"""The model that answers: one reference, taken once by each request and replaced as a whole by the watcher."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from service.model.learned import LearnedModel
from service.records import FloatArray
from service.store.manifest import Manifest

Prediction = dict[str, Any]

INLINE_SECONDS = 0.005
"""What is answered within this time is answered on the event loop: a thread would add as much."""

INLINE_ROWS = (256, 64, 16, 1)
"""How many instances may be answered there at most: the first of these numbers that is quick enough."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One checkpoint ready to answer; ``since_seconds`` is the Unix time from which it does.

    Up to ``inline_rows`` instances take it so briefly that the event loop need not be spared; 0 if even one is slow.
    """

    checkpoint_id: str
    manifest: Manifest
    model: LearnedModel
    since_seconds: float
    inline_rows: int = INLINE_ROWS[0]


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


def warm_up(model: LearnedModel) -> int:
    """Answer a few times beside the running service, so that no request pays for a first time.

    Returns how many instances may be answered on the event loop. Raises ValueError if the answer is no number, or
    cannot be written as JSON.
    """
    outputs, _ = _timed(model, 1)
    if not np.isfinite(outputs).all():
        message = "its weights give NaN or infinity"
        raise ValueError(message)
    msgspec.json.encode(answers(model, outputs))
    return next((rows for rows in INLINE_ROWS if _quick(model, rows)), 0)


def answers(model: LearnedModel, outputs: FloatArray, warnings: Sequence[Sequence[str]] = ()) -> list[Prediction]:
    """Return for each row of outputs its label, its scores and, if there are any, its warnings.

    Classification: ``label`` is the likeliest label, ``scores`` every label's probability. Regression: ``label`` is the
    value itself, ``scores`` is ``{"value": it}``.
    """
    if model.task == "regression":
        said: list[Prediction] = [{"label": value, "scores": {"value": value}} for value in outputs[:, 0].tolist()]
    elif len(model.labels) == 2:  # noqa: PLR2004 - half the time, where there are two
        first, second = model.labels
        said = [
            {"label": first if one >= other else second, "scores": {first: one, second: other}}
            for one, other in outputs.tolist()
        ]
    else:
        labels = model.labels
        said = [
            {"label": labels[row.index(max(row))], "scores": dict(zip(labels, row, strict=True))}
            for row in outputs.tolist()
        ]
    for answer, warned in zip(said, warnings, strict=False):
        if warned:
            answer["warnings"] = warned
    return said


def _quick(model: LearnedModel, rows: int) -> bool:
    """Tell whether so many are answered in time; the better of two tries, since the first may find nothing prepared."""
    return any(_timed(model, rows)[1] <= INLINE_SECONDS for _ in range(2))


def _timed(model: LearnedModel, rows: int) -> tuple[FloatArray, float]:
    numbers = np.zeros((rows, model.columns.width))
    codes = np.zeros((rows, len(model.columns.categorical)), dtype=np.int64)
    # Of this thread alone: requests are answered meanwhile, and nobody wants to know how long that took.
    began = time.thread_time()
    return model.predict(numbers, codes), time.thread_time() - began
