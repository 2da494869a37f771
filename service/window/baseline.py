"""Guessing: what a model must beat to be worth anything. It knows no features, only what labels came before."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from service.records import FloatArray, Scores
from service.settings import Task

MEMORY_EVENTS = 5_000
"""About so many events are remembered: guesses follow a drifting class balance."""

LARGEST_ERROR = 1e100
"""What a label or an error of a regression counts as at most, so that sums of squares stay numbers."""


class Baseline:
    """Guesses each label by the frequencies of those before it (with one more of each, Laplace); or their mean.

    Once ``memory_events`` events are remembered, half of their weight is forgotten.
    """

    def __init__(self, task: Task, memory_events: int = MEMORY_EVENTS) -> None:
        self.task = task
        self._memory_events = memory_events
        self._counts: FloatArray = np.zeros(0)
        self._events = 0.0
        self._sum = 0.0

    def score(self, targets: FloatArray, labels: int) -> Scores:
        """Guess the next targets [n], one after the other, and learn them; ``labels`` is how many are known."""
        guess = self._values if self.task == "regression" else self._labels
        scores = guess(targets, labels)
        if self._events > self._memory_events:
            self._events, self._sum, self._counts = self._events / 2, self._sum / 2, self._counts / 2
        return scores

    def _labels(self, targets: FloatArray, labels: int) -> Scores:
        classes = targets.astype(np.int64)
        labels = max(labels, len(self._counts), int(classes.max(initial=0)) + 1)
        counts = np.zeros(labels)
        counts[: len(self._counts)] = self._counts
        order = np.argsort(classes, kind="stable")
        begins = np.flatnonzero(np.diff(classes[order], prepend=-1))
        same = np.empty(len(classes))  # of the batch's events before this one, how many have its label
        same[order] = np.arange(len(classes)) - np.repeat(begins, np.diff(np.append(begins, len(classes))))
        before = self._events + np.arange(len(classes))
        losses = -np.log((counts[classes] + same + 1) / (before + labels))
        commonest = float(counts.argmax())
        self._counts = counts + np.bincount(classes, minlength=labels)
        self._events += len(classes)
        return Scores(losses, (targets != commonest).astype(np.float64), np.full(len(targets), commonest))

    def _values(self, targets: FloatArray, _labels: int) -> Scores:
        summed = self._sum + np.concatenate([[0.0], np.cumsum(np.clip(targets, -LARGEST_ERROR, LARGEST_ERROR))])
        before = self._events + np.arange(len(targets) + 1)
        means = summed[:-1] / np.maximum(before[:-1], 1.0)
        errors = np.minimum(np.abs(targets - means), LARGEST_ERROR)
        self._sum, self._events = float(summed[-1]), float(before[-1])
        return Scores(errors**2, errors, means)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        return {"counts": self._counts.tolist(), "events": self._events, "sum": self._sum}

    @classmethod
    def from_json(cls, task: Task, value: Mapping[str, Any], memory_events: int = MEMORY_EVENTS) -> Self:
        """Return the baseline that ``to_json`` described."""
        made = cls(task, memory_events)
        made._counts = np.array(value["counts"], dtype=np.float64)
        made._events, made._sum = float(value["events"]), float(value["sum"])
        return made
