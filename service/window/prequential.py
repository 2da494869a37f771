"""Prequential scores: every event is predicted first and learnt afterwards, and the mistakes are averaged."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.records import Scores
from service.window.rings import Arrays, ScoreRing


class Prequential:
    """Mean loss and error of each role (champion, challenger, previous, frozen) over the newest scored events.

    Beside the sliding means it keeps totals over the life of the state: events, losses and errors by role.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rings: dict[str, ScoreRing] = {}
        self._totals: dict[str, list[float]] = {}

    def add(self, scores: Mapping[str, Scores]) -> None:
        """Take in each role's scores on the same arriving events."""
        for role, given in scores.items():
            self._rings.setdefault(role, ScoreRing(self.capacity)).append(given)
            total = self._totals.setdefault(role, [0.0, 0.0, 0.0])
            total[0] += len(given)
            total[1] += float(given.losses.sum())
            total[2] += float(given.errors.sum())

    def means(self) -> dict[str, tuple[float, float]]:
        """Return mean loss and mean error by role, over the newest events."""
        return {role: ring.means() for role, ring in self._rings.items()}

    def totals(self) -> dict[str, dict[str, float]]:
        """Return events scored, sum of losses and sum of errors by role, over the life of the state."""
        return {
            role: {"events": int(total[0]), "loss_sum": total[1], "error_sum": total[2]}
            for role, total in self._totals.items()
        }

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """Return all as arrays and plain values, copied."""
        arrays: Arrays = {}
        for role, ring in self._rings.items():
            held = ring.contents()
            arrays |= {f"{role}.losses": held.losses, f"{role}.errors": held.errors}
        return arrays, {role: list(total) for role, total in self._totals.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]], totals: Mapping[str, list[float]]) -> None:
        """Go on from a snapshot."""
        for role, total in totals.items():
            ring = self._rings[role] = ScoreRing(self.capacity)
            ring.append(Scores(np.array(arrays[f"{role}.losses"]), np.array(arrays[f"{role}.errors"])))
            self._totals[role] = list(total)
