"""What the trainer tells about itself each second, beyond what its learner knows: pace, health, and the course."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from service.learner.learner import Learner
from service.observer import WORKER_RESTART_CAUSES
from service.records import Partition
from service.settings import Settings
from service.store.clock import utc_text
from service.store.course import Course, read_course
from service.train.supervisor import TrainingWorker
from service.trainer.intake import Intake

PACE_REPORTS = 11
"""Rates are over so many reports, which are ``trainer.status_seconds`` apart."""


class Bulletin:
    """Belongs to the loop's thread. ``course`` goes on from the one that a former trainer left in the store."""

    def __init__(self, settings: Settings, learner: Learner, intake: Intake) -> None:
        self.course = read_course(settings.store.path)
        self._settings = settings
        self._learner = learner
        self._intake = intake
        self._began = time.time()
        self._pace: deque[tuple[float, int]] = deque(maxlen=PACE_REPORTS)

    def note(self, now: float, lag: Mapping[Partition, int]) -> Course | None:
        """Take note of how things stand; return a copy of the course if there is something new in it.

        ``now`` is of the steady clock.
        """
        learner = self._learner
        counts = learner.counts
        self._pace.append((now, counts["accepted"] + counts["refused"]))
        errors = {role: error for role, (_, error) in learner.prequential.means().items()}
        added = self.course.add(
            time.time_ns() // 1_000_000,
            counts["predicted"],
            errors,
            promoted=learner.outcomes["promoted"],
            lag=sum(lag.values()),
        )
        return self.course.copy() if added else None

    def status(self, worker: TrainingWorker, stage: str | None, saved_seconds: float | None) -> dict[str, Any]:
        """Return what there is to add to the status; counts are since this trainer began.

        ``stage`` is what the round in flight is at, None without one; ``saved_seconds`` the Unix time of the last
        snapshot.
        """
        intake, champion = self._intake, self._learner.roles.champion
        until_ms = champion.reference.until_ms if champion is not None else None
        return {
            "started_at": utc_text(self._began),
            "events_per_second": self._rate(),
            "prequential_events": min(self._learner.counts["predicted"], self._settings.window.events),
            "refused": {reason: intake.refused_counts[reason] for reason in sorted(intake.refused_counts)},
            "read_at": _text(intake.read_seconds),
            "arrived_at": _text(intake.arrived_seconds),
            "saved_at": _text(saved_seconds),
            "round": {"number": self._learner.counts["rounds"], "stage": stage} if stage else None,
            "worker": {
                "ready": worker.ready,
                "restarts": {cause: worker.restarts[cause] for cause in WORKER_RESTART_CAUSES},
            },
            "reference_until": _text(until_ms / 1_000 if until_ms is not None else None),
            "worth_an_alarm": self._settings.drift.least_score,
        }

    def _rate(self) -> float:
        """Return how many records came in a second, over the newest reports."""
        (began, before), (ended, after) = self._pace[0], self._pace[-1]
        return round(max(after - before, 0) / (ended - began), 1) if ended > began else 0.0


def _text(seconds: float | None) -> str | None:
    return None if seconds is None else utc_text(seconds)
