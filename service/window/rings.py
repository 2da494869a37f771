"""Bounded, first-in-first-out holdings of examples and of scores."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import Examples, FloatArray, Scores

Arrays = dict[str, NDArray[Any]]


def arrays_of(examples: Examples) -> Arrays:
    """Return the columns by name, for a snapshot or a round's file."""
    return {f.name: getattr(examples, f.name) for f in fields(examples)}


def examples_of(arrays: Mapping[str, NDArray[Any]]) -> Examples:
    """Return the examples that ``arrays_of`` took apart."""
    return Examples(**{f.name: arrays[f.name] for f in fields(Examples)})


class ExampleRing:
    """The newest ``capacity`` examples, in order of arrival, each with its loss at arrival, NaN unknown."""

    def __init__(self, capacity: int, numbers: int, codes: int) -> None:
        self.capacity = capacity
        self._held = Examples.empty(numbers, codes, capacity)
        self._losses: FloatArray = np.full(capacity, np.nan)
        self._start = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, arrived: Examples) -> Examples:
        """Take in examples; return those that had to leave, oldest first (also arrivals that never fitted)."""
        return self.push(arrived, np.full(len(arrived), np.nan))[0]

    def push(self, arrived: Examples, losses: FloatArray) -> tuple[Examples, FloatArray]:
        """Take in examples with their losses [n]; return those that had to leave, as ``append``, with theirs."""
        excess = max(0, len(arrived) - self.capacity)
        leaving = max(0, self._count + len(arrived) - excess - self.capacity)
        oldest = (self._start + np.arange(leaving)) % self.capacity
        gone, gone_losses = self._held.take(oldest), np.concatenate([self._losses[oldest], losses[:excess]])
        if excess:
            gone, arrived = (
                Examples.concatenate([gone, arrived.take(slice(0, excess))]),
                arrived.take(slice(excess, None)),
            )
        slots = (self._start + self._count + np.arange(len(arrived))) % self.capacity
        for name, column in arrays_of(self._held).items():
            column[slots] = getattr(arrived, name)
        self._losses[slots] = losses[excess:]
        self._start = (self._start + leaving) % self.capacity
        self._count = min(self.capacity, self._count + len(arrived))
        return gone, gone_losses

    def contents(self) -> Examples:
        """Return a copy of all, oldest first."""
        return Examples.concatenate([self._held.take(rows) for rows in self._rows()])

    def losses(self) -> FloatArray:
        """Return a copy of their losses, oldest first."""
        return np.concatenate([self._losses[rows] for rows in self._rows()])

    def _rows(self) -> tuple[slice, slice]:
        """Return where the older and, begun again from the start, the newer ones lie: far quicker than by row."""
        end = self._start + self._count
        return slice(self._start, min(end, self.capacity)), slice(0, max(end - self.capacity, 0))


class ScoreRing:
    """Losses and errors of the newest ``capacity`` scored events, with their means."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._losses: FloatArray = np.empty(0)
        self._errors: FloatArray = np.empty(0)

    def __len__(self) -> int:
        return len(self._losses)

    def append(self, scores: Scores) -> None:
        """Take in scores; the oldest leave."""
        self._losses = np.concatenate([self._losses, scores.losses])[-self.capacity :]
        self._errors = np.concatenate([self._errors, scores.errors])[-self.capacity :]

    def contents(self) -> Scores:
        """Return all, oldest first."""
        return Scores(self._losses, self._errors)

    def means(self) -> tuple[float, float]:
        """Return mean loss and mean error; NaN while empty."""
        if not len(self):
            return float("nan"), float("nan")
        return float(self._losses.mean()), float(self._errors.mean())
