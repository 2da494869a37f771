"""How models do against guessing: what is compared, and the newest differences. Pure."""

import math
from collections import deque
from functools import cache
from statistics import NormalDist

import numpy as np

from service.records import FloatArray, Scores
from service.settings import Task

MIN_EVENTS = 30
"""On fewer events nothing is tested."""

LEAST_VARIANCE = 1e-6

USUAL_SHARE = 0.05
"""How much a look moves what is usual: slowly enough for a failure not to become usual before it is noticed."""


def comparable(task: Task, scores: Scores) -> FloatArray:
    """Return what models are compared to guessing by [n]: the probability that they did not give to the true label.

    Where labels have nothing to do with features, the class frequencies give the true label as much on average as any
    model does, however sure of itself or however rare a class is; log-loss would condemn a model that is right mostly
    and too sure of itself. For a regression it is the absolute error.
    """
    if task == "regression":
        return scores.errors
    return 1.0 - np.exp(-np.nan_to_num(scores.losses, nan=np.inf))


class Newest:
    """The newest differences to guessing; below zero is better than guessing."""

    def __init__(self, capacity: int, values: FloatArray | None = None) -> None:
        self.capacity = capacity
        self.values: FloatArray = np.empty(0) if values is None else values[-capacity:]
        self._told: tuple[FloatArray | None, float, float] = (None, math.nan, math.nan)

    def append(self, values: FloatArray) -> None:
        """Take in values, oldest first."""
        self.values = np.concatenate([self.values, values])[-self.capacity :]

    @property
    def mean(self) -> float:
        """Mean difference, NaN without any."""
        return self._moments()[1]

    @property
    def variance(self) -> float:
        """Their variance, NaN below two."""
        return self._moments()[2]

    def _moments(self) -> tuple[FloatArray | None, float, float]:
        """Return values, their mean and variance; several questions are put to the same values."""
        values, count = self.values, len(self.values)
        if self._told[0] is not values:
            mean = float(values.sum()) / count if count else math.nan
            apart = values - mean
            self._told = values, mean, float(apart @ apart) / (count - 1) if count > 1 else math.nan
        return self._told

    def risen(self, usual: float, variance: float) -> tuple[int, float]:
        """Tell since when the values have been about zero, and no longer about ``usual``, below it.

        Returns of how many of the newest that is likeliest, and by how much: the logarithm of the likelihood ratio, the
        cumulative sum of Page (1954).
        """
        sums = np.concatenate([[0.0], np.cumsum(self.values - usual / 2)])
        if not np.isfinite(sums[-1]):
            return len(self.values), math.inf
        events = int(np.argmin(sums[::-1]))
        return events, float(sums[-1] - sums.min()) * -usual / max(variance, LEAST_VARIANCE)

    def below_zero(self, level: float) -> bool:
        """Tell whether the mean is below zero beyond chance, by a one-sided test on at least MIN_EVENTS events."""
        count = len(self.values)
        if count < MIN_EVENTS:
            return False
        return self.mean < _quantile(level) * math.sqrt(self.variance / count)

    def above_zero(self, level: float) -> bool:
        """Tell whether the mean is above zero beyond chance, as ``below_zero`` does."""
        count = len(self.values)
        return count >= MIN_EVENTS and self.mean > -_quantile(level) * math.sqrt(self.variance / count)


class Usual:
    """How far below guessing a model is while all is well (``mean``), and by how much that scatters.

    Neighbouring events are alike: hard stretches, such as nights or storms, let the mean wander more than single events
    tell, by the long-run variance of a time series, and do not show that a model fails. ``wander`` is that variance at
    the newest looks, times the number of events; the oldest of these is from before any failure's onset.
    """

    def __init__(self, looks: int) -> None:
        self.mean = self.variance = 0.0
        self.wander = deque([0.0], maxlen=max(looks, 1))

    @property
    def spread(self) -> float:
        """The variance of one event's difference that its mean's scatter suggests."""
        return max(self.variance, self.wander[0])

    def follow(self, newest: Newest, *, first: bool) -> None:
        """Take in the newest differences of a model that is well, the ``first`` ones or more."""
        if first:
            self.mean, self.variance = newest.mean, newest.variance
            self._begin(newest.variance)
            return
        self.mean += USUAL_SHARE * (newest.mean - self.mean)
        self.variance += USUAL_SHARE * (newest.variance - self.variance)
        # Only hard stretches count, and twice: a model that gets better does not wander.
        apart = 2 * len(newest.values) * max(newest.mean - self.mean, 0.0) ** 2
        self.wander.append(self.wander[-1] + USUAL_SHARE * (apart - self.wander[-1]))

    def pass_over(self) -> None:
        """Note a look that says nothing of what is usual."""
        self.wander.append(self.wander[-1])

    def go_back(self) -> None:
        """Forget what a failure, or its beginning, has left."""
        self._begin(self.wander[0])

    def _begin(self, wander: float) -> None:
        self.wander.clear()
        self.wander.append(wander)


@cache
def _quantile(level: float) -> float:
    return NormalDist().inv_cdf(level)
