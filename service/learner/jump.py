"""Whether the error has jumped: what was true a moment ago is true no more."""

import math
from collections.abc import Mapping
from typing import Any, Self

from service.records import FloatArray

BLOCK_EVENTS = 100
"""Errors are looked at in blocks of so many arriving events."""

KEPT = 0.9
"""Share of the running mean that a block leaves as it was."""

KEPT_WANDER = 0.95
LARGEST_STEP = 9.0
"""A block adds to the wander of means at most so many times the variance that it was judged by: it may be a jump."""

LEAST_RATE = 0.02
"""A running share of wrong labels counts as at least this, and at most its complement, so that chance has room."""


class JumpTest:
    """A Shewhart chart on the error of what predicts: a block's mean against the running mean of those before it.

    ``deviations`` standard errors above it are a jump, after which the mean begins anew with that block. For a
    classification the errors are 0 and 1 and chance is binomial; for a regression their running variance is used, or,
    where neighbours are alike, by how much the means of blocks themselves wander.
    It is meant to be quick rather than sure: a false alarm makes some challengers forget, and the others stay.
    """

    def __init__(self, deviations: float | None, *, binary: bool) -> None:
        self._deviations = math.inf if deviations is None else deviations
        self._binary = binary
        self._mean: float | None = None
        self._variance = 0.0
        self._wander = 0.0
        self._events, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, errors: FloatArray) -> int | None:
        """Take in arriving errors [n]; return how many events ago the newest jump was noticed, None for no jump."""
        jumped: int | None = None
        begin = 0
        while begin < len(errors):
            part = errors[begin : begin + BLOCK_EVENTS - self._events]
            self._events += len(part)
            self._sum += float(part.sum())
            self._squares += float((part**2).sum())
            begin += len(part)
            if self._events == BLOCK_EVENTS and self._ended():
                jumped = len(errors) - begin
        return jumped

    def _ended(self) -> bool:
        mean = self._sum / BLOCK_EVENTS
        spread = max(self._squares / BLOCK_EVENTS - mean**2, 0.0)
        self._events, self._sum, self._squares = 0, 0.0, 0.0
        before = self._mean
        if before is None or not math.isfinite(before):
            self._mean, self._variance, self._wander = mean, spread, 0.0
            return False
        rate = min(max(before, LEAST_RATE), 1 - LEAST_RATE)
        of_one = rate * (1 - rate) if self._binary else self._variance
        level = rate if self._binary else before
        variance = of_one / BLOCK_EVENTS if self._binary else max(of_one / BLOCK_EVENTS, self._wander)
        jumped = mean - level > self._deviations * math.sqrt(variance)
        step = min((mean - before) ** 2, LARGEST_STEP * variance)
        self._wander = KEPT_WANDER * self._wander + (1 - KEPT_WANDER) * step
        kept = 0.0 if jumped else KEPT
        self._mean = kept * before + (1 - kept) * mean
        self._variance = kept * self._variance + (1 - kept) * spread
        return jumped

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        return {
            "mean": self._mean,
            "variance": self._variance,
            "wander": self._wander,
            "block": [self._events, self._sum, self._squares],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], deviations: float | None, *, binary: bool) -> Self:
        """Return the test that ``to_json`` described."""
        made = cls(deviations, binary=binary)
        made._mean, made._variance = value["mean"], value["variance"]
        made._wander = float(value.get("wander", 0.0))  # a former version had none
        made._events, made._sum, made._squares = value["block"]
        return made
