"""Tells a fall of the champion's score from noise."""

import math
from collections import deque
from collections.abc import Mapping
from functools import reduce
from statistics import NormalDist
from typing import Any

import numpy as np

from service.records import FloatArray
from service.settings import Trigger
from service.trigger.signals import Fall

BLOCK_EVENTS = 20
"""Losses are kept as sums of so many, and the test is made anew with each."""

BEFORE = 2
"""The newest events are compared with at least so many times as many before them."""

LARGEST = 10.0
"""A loss counts as at most so many times the mean: one wild label is no fall, and a normal test needs a variance."""

Sums = tuple[int, float, float]
"""Count, sum and sum of squares."""

NOTHING: Sums = (0, 0.0, 0.0)


class Decline:
    """Compares the champion's newest losses with its own since its promotion, by Welch's test, one-sided.

    A champion is compared with itself alone: events that are hard for every model are not told from a fall, but they
    raise what comes before soon. Bounded: only sums are kept of what is not among the newest.
    """

    def __init__(self, settings: Trigger) -> None:
        self._alpha = settings.fall_alpha
        self._newest_blocks = math.ceil(settings.fall_events / BLOCK_EVENTS)
        self.reset()

    def reset(self) -> None:
        """Begin anew with another champion."""
        self._pending: FloatArray = np.empty(0)
        self._newest: deque[Sums] = deque()
        self._before = NOTHING
        self._events, self._total = 0, 0.0  # of all blocks, for the mean that limits the next one

    def add(self, losses: FloatArray) -> None:
        """Take in the champion's losses [n] on arriving events."""
        if self._alpha is None:
            return
        losses = np.concatenate([self._pending, losses])
        whole = len(losses) // BLOCK_EVENTS * BLOCK_EVENTS
        blocks, self._pending = losses[:whole].reshape(-1, BLOCK_EVENTS), losses[whole:]
        with np.errstate(over="ignore"):  # a square beyond all numbers is of a loss beyond the limit
            sums = zip(blocks.sum(1).tolist(), (blocks**2).sum(1).tolist(), blocks.max(1).tolist(), strict=True)
        for block, (total, squares, largest) in zip(blocks, sums, strict=True):
            limit = LARGEST * (self._total / self._events) if self._events else _first_limit(block)
            # Written so that no number counts as the limit.
            self._add(total, squares) if largest <= limit else self._add(*_limited(block, limit))

    def _add(self, total: float, squares: float) -> None:
        self._events += BLOCK_EVENTS
        self._total += total
        self._newest.append((BLOCK_EVENTS, total, squares))
        if len(self._newest) > self._newest_blocks:
            self._before = _plus(self._before, self._newest.popleft())

    def fall(self) -> Fall:
        """Return what the test says now."""
        newest, before = reduce(_plus, self._newest, NOTHING), self._before
        if self._alpha is None or len(self._newest) < self._newest_blocks or before[0] < BEFORE * newest[0]:
            return Fall()
        means = newest[1] / newest[0], before[1] / before[0]
        error = math.sqrt(_variance(newest) / newest[0] + _variance(before) / before[0])
        z = (means[0] - means[1]) / error if error > 0 else 0.0
        fallen = z > NormalDist().inv_cdf(1 - self._alpha)
        return Fall(fallen, means[0], means[1], newest[0], before[0], z)

    def to_json(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as plain values."""
        pending = [value if math.isfinite(value) else None for value in self._pending.tolist()]
        return {
            "pending": pending,
            "newest": [list(sums) for sums in self._newest],
            "before": list(self._before),
            "total": self._total,
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go on from what ``to_json`` returned; blocks for which there is no room any more count as before."""
        self.reset()
        self._pending = np.array([math.nan if one is None else one for one in value["pending"]], dtype=np.float64)
        blocks: list[Sums] = [(int(events), total, squares) for events, total, squares in value["newest"]]
        older = max(len(blocks) - self._newest_blocks, 0)
        events, total, squares = value["before"]
        self._before = reduce(_plus, blocks[:older], (int(events), total, squares))
        self._newest.extend(blocks[older:])
        self._events = sum(one[0] for one in (self._before, *self._newest))
        self._total = float(value["total"])


def _plus(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _first_limit(block: FloatArray) -> float:
    """Return what a loss of the first block counts as at most: there is no mean yet, and no outlier moves a median."""
    known = block[np.isfinite(block)]
    return LARGEST * float(np.median(known)) if len(known) else LARGEST


def _limited(block: FloatArray, limit: float) -> tuple[float, float]:
    known = np.where(block <= limit, block, limit)
    return float(known.sum()), float((known**2).sum())


def _variance(sums: Sums) -> float:
    return max(sums[2] - sums[1] ** 2 / sums[0], 0.0) / (sums[0] - 1)
