"""What a replay remembers of all that happened, in bounded memory: the figures of its summary and its report."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.observer import DRIFT_KINDS, ROUND_OUTCOMES, Observer
from service.records import BoolArray, Examples, FloatArray, Scores
from service.replay.curves import Curves, Samples
from service.settings import Task

ROLES = {"champion": "champion", "frozen": "frozen", "ungated": "challenger", "previous": "previous"}
"""Roles by the names that a replay gives them: *ungated* is the same serving rule over the newest weights."""

TOLD = ("champion", "frozen", "ungated")
"""Roles in the summary; the report has all."""

GUESS = "baseline"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A drift alarm, as ``Observer.alarmed`` tells it."""

    kind: str
    feature: str | None
    score: float
    event: int


class Tally(Observer):
    """Adds up each role's losses and errors, and counts rounds, decisions, alarms and refusals.

    ``counts`` [n], set before events are scored, says which of those are in the figures: None means all.
    Sums over the whole stream are exact; along it they are in buckets.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.counts: BoolArray | None = None
        self.scored_events = 0
        self.losses = dict.fromkeys((*ROLES, GUESS), 0.0)
        self.errors = dict.fromkeys((*ROLES, GUESS), 0.0)
        self.curves = Curves(("events", *(f"{kind}/{name}" for kind in ("losses", "errors") for name in self.losses)))
        self.marks = Curves((*ROUND_OUTCOMES, *(f"alarm/{kind}" for kind in DRIFT_KINDS)))
        self.drift = Samples()
        self.shares = Samples()
        self.rounds = {"started": 0} | dict.fromkeys(ROUND_OUTCOMES, 0)
        self.triggers: Counter[str] = Counter()
        self.decisions: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.alarms: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._new_alarms: list[Alarm] = []

    def scored(self, examples: Examples, scores: dict[str, Scores]) -> None:
        """Add up; before the first checkpoint every role guesses."""
        guess = scores[GUESS]
        given = {name: scores.get(role, scores.get("champion", guess)) for name, role in ROLES.items()} | {GUESS: guess}
        rows = np.ones(len(examples), dtype=np.bool_) if self.counts is None else self.counts
        columns: list[FloatArray] = [rows.astype(np.float64)]
        for sums, kind in ((self.losses, "losses"), (self.errors, "errors")):
            for name in sums:
                column = np.where(rows, getattr(given[name], kind), 0.0)
                sums[name] += float(column.sum())
                columns.append(column)
        self.scored_events += int(rows.sum())
        self.curves.add(np.stack(columns))
        self.marks.skip(len(examples))

    def refused(self, reason: str, events: int) -> None:
        """Count refusals by reason."""
        self.refusals[reason] += events

    def triggered(self, reason: str) -> None:
        """Count a round."""
        self.rounds["started"] += 1
        self.triggers[reason] += 1

    def decided(self, decision: str, reason: str) -> None:
        """Count a decision."""
        self.decisions[decision, reason] += 1

    def round_ended(self, outcome: str) -> None:
        """Count a round's outcome, and mark it on the stream."""
        self.rounds[outcome] += 1
        self.marks.note(outcome)

    def suspected(self, what: str) -> None:
        """Count a turn of a suspicion."""
        self.turns[what] += 1

    def alarmed(self, kind: str, feature: str | None, score: float, event: int) -> None:
        """Count an alarm, mark it on the stream, and keep it until ``take_alarms``."""
        self.alarms[kind] += 1
        self.marks.note(f"alarm/{kind}")
        self._new_alarms.append(Alarm(kind, feature, score, event))

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms since the last call."""
        taken, self._new_alarms = self._new_alarms, []
        return taken

    def mean_losses(self) -> dict[str, float | None]:
        """Return each role's mean loss, in nats or in squared label units; None without events."""
        return {name: self._mean(total) for name, total in self.losses.items()}

    def mean_errors(self) -> dict[str, float | None]:
        """Return each role's share of wrong labels, or mean absolute error in label units; None without events."""
        return {name: self._mean(total) for name, total in self.errors.items()}

    def figures(self) -> dict[str, Any]:
        """Return accuracy (or MAE) and loss by role, as the summary tells them."""
        errors, losses = self.mean_errors(), self.mean_losses()
        told: dict[str, Any] = {"loss": {name: _rounded(losses[name]) for name in TOLD}}
        if self.task == "regression":
            roots = {name: loss if loss is None else math.sqrt(loss) for name, loss in losses.items()}
            told["rmse"] = {name: _rounded(roots[name]) for name in TOLD}
            return {"mae": {name: _rounded(errors[name]) for name in TOLD}} | told
        right = {name: None if error is None else 1 - error for name, error in errors.items()}
        return {"accuracy": {name: _rounded(right[name]) for name in TOLD}} | told

    def _mean(self, total: float) -> float | None:
        return total / self.scored_events if self.scored_events and np.isfinite(total) else None


def _rounded(value: float | None) -> float | None:
    """Return a figure with as many digits as mean anything, whatever the label's unit."""
    return None if value is None else float(f"{value:.7g}")
