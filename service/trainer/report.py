"""What the trainer tells: the journal's entries, the status that servers read, and one line per decision."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog

from service.drift.alarm import MEANINGS, Alarm
from service.learner.drift import plain_drift
from service.learner.learner import Learner
from service.learner.telling import Means, decision_fields, failure_fields, plain_means
from service.records import Partition
from service.settings import Settings
from service.store.clock import utc_text
from service.train.round import Outcome, Round
from service.validate.gate import PROMOTE, REASONS, REJECT, ROLLBACK, Decision
from service.validate.suspicion import TURNS

log = structlog.get_logger(__name__)

EVICTIONS_SECONDS = 60.0

EVENTS = {PROMOTE: "candidate promoted", REJECT: "candidate rejected", ROLLBACK: "rolled back to the predecessor"}


def tell(decision: Decision, given: Round, checkpoint_id: str | None, means: Means) -> None:
    """Log one line about a decision: what, why, and what fine-tuning has bought so far."""
    event = EVENTS[decision.decision]
    scores = {f"{role}_error": round(error, 4) for role, (_, error) in means.items() if role in ("champion", "frozen")}
    log.info(
        event,
        round=given.number,
        reason=decision.reason,
        meaning=REASONS[decision.reason],
        trigger=given.trigger,
        checkpoint=checkpoint_id,
        **scores,
    )


def decision_entry(
    decision: Decision, given: Round, outcome: Outcome, checkpoint_id: str | None, means: Means
) -> dict[str, object]:
    """Return the journal's entry about a decision, with all its numbers."""
    return {
        "event": "decision",
        "at": utc_text(time.time()),
        **decision_fields(decision, given, outcome, checkpoint_id, means),
        "meaning": REASONS[decision.reason],
        "training_seconds": outcome.seconds,
    }


def failure_entry(given: Round, cause: str, message: str) -> dict[str, object]:
    """Return the journal's entry about a round that brought nothing."""
    return {"event": "round_failed", "at": utc_text(time.time()), **failure_fields(given, cause, message)}


def suspicion_entry(turn: Mapping[str, Any]) -> dict[str, object]:
    """Return the journal's entry about a turn that a suspicion took."""
    return {"event": "suspicion", "at": utc_text(time.time()), "meaning": TURNS[turn["what"]], **turn}


def alarm_entry(alarm: Alarm) -> dict[str, object]:
    """Return the journal's entry about a drift that was found; ``accepted`` events had come by then."""
    told = asdict(alarm)
    meaning = MEANINGS[alarm.kind]
    return {"event": "drift", "at": utc_text(time.time()), "accepted": told.pop("event"), "meaning": meaning, **told}


def tell_alarm(alarm: Alarm) -> None:
    """Log one line about a drift that was found."""
    log.warning(
        "the stream has drifted", meaning=MEANINGS[alarm.kind], feature=alarm.feature, score=round(alarm.score, 3)
    )


def tell_suspicion(turn: Mapping[str, Any]) -> None:
    """Log one line about a turn that a suspicion took."""
    told = {name: value for name, value in turn.items() if name != "numbers"}
    log.warning("what arrives is under suspicion", meaning=TURNS[turn["what"]], **told)


def status_of(
    settings: Settings,
    learner: Learner,
    lag: Mapping[Partition, int],
    drift: Mapping[tuple[str, str], float],
    *,
    problem: str | None,
    paused: bool,
) -> dict[str, Any]:
    """Return the trainer's status as plain values; counts are over the life of the state.

    ``problem`` is why the trainer does not do its work, ``paused`` whether that is training alone.
    """
    window, replay, heldout = learner.holdings.sizes
    return {
        "at": utc_text(time.time()),
        "state": "paused" if paused else "learning" if problem is None else "waiting",
        "problem": problem,
        "topic": settings.source.topic,
        "events": dict(learner.counts),
        "rounds": {"started": learner.counts["rounds"], **learner.outcomes},
        "new_events": learner.new_events,
        "trigger": learner.triggers.status(learner.new_events),
        "suspicion": learner.speculation.phase,
        "held": {"window": window, "replay": replay, "heldout": heldout},
        "positions": {f"{source.topic}/{source.partition}": at for source, at in sorted(learner.positions.items())},
        "lag": {f"{source.topic}/{source.partition}": events for source, events in sorted(lag.items())},
        "roles": learner.roles.ids(),
        "prequential": plain_means(learner.prequential.means()),
        "prequential_totals": learner.prequential.totals(),
        "drift": plain_drift(drift) | {"alarms": dict(learner.drift_monitor.totals)},
        "trained_until": utc_text(learner.trained_until_ms / 1_000) if learner.trained_until_ms else None,
    }


class Evictions:
    """Tells now and then, not with every batch, that events leave the window unlearnt."""

    def __init__(self, before: int) -> None:
        self._told = before
        self._tell_at = 0.0

    def note(self, unlearnt: int, now_seconds: float) -> None:
        """Log how many more there are by now; ``unlearnt`` is their number over the life of the state."""
        if unlearnt > self._told and now_seconds >= self._tell_at:
            log.warning(
                "events left the window before any round trained on them",
                events=unlearnt - self._told,
                advice="the replay memory keeps a sample; a longer window, or window.overflow: wait, keeps all",
            )
            self._told, self._tell_at = unlearnt, now_seconds + EVICTIONS_SECONDS
