"""Data and prediction drift: whether the newest events are spread over their bins as the reference's were."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from service.drift.alarm import Alarm
from service.drift.comparison import chances, psi, significant
from service.drift.reference import Reference
from service.records import FloatArray, IntArray
from service.settings.drift import Drift

PER_EVENTS = 100_000


class DistributionWatch:
    """Compares the newest ``window_events`` with a reference, block by block of ``every_events``.

    Looks that repeat and features that are many are allowed for: each look may be wrong at the level that makes
    ``false_alarms_per_100000`` of them all. A feature that has drifted is *known* from then on, and raises no alarm
    until its score has stayed below half of ``least_score`` for a whole window; so do those that follow it within
    ``cooldown_events``. An alarm resets nothing else: the scores go on.
    """

    def __init__(self, kind: str, settings: Drift) -> None:
        self.kind = kind
        self.settings = settings
        self.reference: Reference | None = None
        self._blocks: deque[tuple[FloatArray, IntArray]] = deque(maxlen=settings.window_events // settings.every_events)
        self._counts: deque[FloatArray] = deque(maxlen=self._blocks.maxlen)
        self._quiet: dict[str, int] = {}  # the known, with how many looks they have been quiet for
        self._last: int | None = None
        self._quiet_score = settings.least_score / 2 or np.inf
        self._level = settings.false_alarms_per_100000 * settings.every_events / PER_EVENTS

    def follow(self, reference: Reference | None) -> None:
        """Compare with another reference from now on, the newest events included."""
        self.reference = reference
        self._counts.clear()
        if reference is not None:
            self._counts.extend(reference.counts(*block) for block in self._blocks)

    def forget(self) -> None:
        """Drop events and reference."""
        self._blocks.clear()
        self.follow(None)

    def look(self, numbers: FloatArray, codes: IntArray, event: int) -> Alarm | None:
        """Take in the next block of events [n, F] and [n, C], the last of them number ``event``, and compare."""
        self._blocks.append((numbers, codes))
        reference = self.reference
        if reference is None:
            return None
        self._counts.append(reference.counts(numbers, codes))
        if not reference.rows or not reference.names:
            return None
        now = reference.shares_of(self.counts)
        scores = psi(now, reference.shares)
        chance = chances(now * len(self), reference.shares * reference.rows, reference.spread)
        drifted = significant(chance, self._level) & (scores >= self.settings.least_score)
        if self._quiet:
            quiet = ~drifted & (scores < self._quiet_score)
            self._calm({reference.names[index] for index in np.flatnonzero(quiet).tolist()})
        if not drifted.any():
            return None
        new = [index for index in np.flatnonzero(drifted).tolist() if reference.names[index] not in self._quiet]
        self._quiet |= {reference.names[index]: 0 for index in np.flatnonzero(drifted).tolist()}
        if not new or (self._last is not None and event - self._last <= self.settings.cooldown_events):
            return None
        self._last = event
        worst = max(new, key=lambda index: (-chance[index], scores[index]))
        return Alarm(self.kind, reference.names[worst], float(scores[worst]), self.settings.least_score, event)

    @property
    def counts(self) -> FloatArray:
        """How many of the newest events are in each bin of the reference, [features, bins]."""
        total: FloatArray = np.stack(self._counts).sum(axis=0)
        return total

    def scores(self) -> dict[str, float]:
        """Return the population stability index of each feature, in nats; empty before there is what to compare."""
        if self.reference is None or not self._counts or not self.reference.shares.any():  # a model given as it was
            return {}
        found = psi(self.reference.shares_of(self.counts), self.reference.shares)
        return dict(zip(self.reference.names, found.tolist(), strict=True))

    def rates(self) -> dict[tuple[str, str], float]:
        """Return by (feature, kind) the newest events' shares of missing values and of categories new to training."""
        return self.reference.rates(self.counts) if self.reference is not None and self._counts else {}

    def events(self) -> tuple[FloatArray, IntArray]:
        """Return the newest events [n, F] and [n, C], in order of arrival; raises IndexError if there are none."""
        return np.concatenate([block[0] for block in self._blocks]), np.concatenate(
            [block[1] for block in self._blocks]
        )

    def __len__(self) -> int:
        return sum(len(numbers) for numbers, _ in self._blocks)

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs beside events and reference, as plain values."""
        return {"quiet": dict(self._quiet), "last": self._last, "sizes": [len(numbers) for numbers, _ in self._blocks]}

    def restore(
        self, numbers: FloatArray, codes: IntArray, state: Mapping[str, Any], reference: Reference | None
    ) -> None:
        """Go on from what ``events`` and ``state`` returned."""
        begin = 0
        for size in state["sizes"]:
            self._blocks.append((numbers[begin : begin + size], codes[begin : begin + size]))
            begin += size
        self._quiet = {str(name): int(looks) for name, looks in state["quiet"].items()}
        self._last = state["last"]
        self.follow(reference)

    def _calm(self, quiet: set[str]) -> None:
        """Count the looks at which each known feature has been quiet, and forget those that were so long enough."""
        looks = {name: before + 1 if name in quiet else 0 for name, before in self._quiet.items()}
        self._quiet = {name: count for name, count in looks.items() if count < (self._blocks.maxlen or 1)}
