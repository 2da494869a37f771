"""The demo's observer: the trainer's metrics, and the sums that its summary is made of."""

from collections.abc import Iterable

from service.demo.loans import SCHEMA
from service.drift.monitor import watched
from service.metrics import TrainerObserver
from service.records import Examples, Scores
from service.validate.gate import DECISION_REASONS


class Tally(TrainerObserver):
    """The trainer's metrics, and beside them what the demo tells: accuracy over all and over the drifted events."""

    def __init__(self, first_drift: int, members: Iterable[str] = ()) -> None:
        super().__init__("binary", decisions=DECISION_REASONS, drift=watched(SCHEMA), members=members)
        self.events = 0
        self.dead_lettered_events = 0
        self.rounds = {"started": 0, "promoted": 0, "rejected": 0, "failed": 0}
        self._first_drift = first_drift
        self._wrong = {"champion": 0.0, "frozen": 0.0}
        self._wrong_drifted = {"champion": 0.0, "frozen": 0.0}

    def scored(self, examples: Examples, scores: dict[str, Scores]) -> None:
        """Add up each role's mistakes."""
        super().scored(examples, scores)
        undrifted = min(max(self._first_drift - self.events, 0), len(examples))
        for role in self._wrong:
            errors = scores.get(role, scores["baseline"]).errors  # before the first checkpoint all of them guess
            self._wrong[role] += float(errors.sum())
            self._wrong_drifted[role] += float(errors[undrifted:].sum())
        self.events += len(examples)

    def triggered(self, reason: str) -> None:
        """Count a round."""
        super().triggered(reason)
        self.rounds["started"] += 1

    def round_ended(self, outcome: str) -> None:
        """Count its outcome, if the summary tells of it: of what was taken back it does not."""
        super().round_ended(outcome)
        if outcome in self.rounds:
            self.rounds[outcome] += 1

    def dead_lettered(self, outcome: str, events: int) -> None:
        """Count a dead letter."""
        super().dead_lettered(outcome, events)
        self.dead_lettered_events += events

    def accuracy(self) -> dict[str, dict[str, float | None]]:
        """Return accuracy by role over all events, and over those after the first drift."""
        drifted = max(self.events - self._first_drift, 0)
        return {
            key: {role: round(1 - wrong / events, 4) if events else None for role, wrong in wrongs.items()}
            for key, wrongs, events in (
                ("accuracy", self._wrong, self.events),
                ("accuracy_drifted", self._wrong_drifted, drifted),
            )
        }
