"""The gate: does a challenger's candidate go out? Pure; every number it weighed is in its decision.

It goes out unless something speaks against it, on events that neither model was trained on:

- *forward*: how the challenger's lineage predicted the events that arrived over the last rounds, against the serving
  model, before either learnt them. It must not be provably worse (one-sided paired test). Right after a promotion both
  are the same model, which says nothing and is consent.
- *recent*: the newest held-out events, none from before the error last jumped, on which the candidate's newest weights
  are checked. They must not be provably worse, at a stricter level, nor give up a class. That objection is not heard
  once what arrived has proven it wrong, until it proves right again: where a concept moves on steadily, whoever has
  learnt from newer events is worse on old ones and better on the next.

To ask for a better mean instead costs accuracy wherever the stream drifts, since what is newest is right soonest and
proven latest; what protects from noise is suspicion.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from service.records import FloatArray, Scores
from service.settings import Gate, Task
from service.validate.evidence import PairedSums, provably_better, provably_worse

PROMOTE = "promote"
REJECT = "reject"
ROLLBACK = "rollback"
"""The predecessor of the serving model is published anew."""

LARGEST_LOSS = 4.0
"""In nats: a confident mistake is about as bad as a model can be, and a worse one must not outweigh fifty events."""

PREVIOUS = "previous"
"""The predecessor's name among those that are judged."""

REASONS = {
    "first_checkpoint": "there was no model yet",
    "gate_disabled": "gate.enabled is false",
    "forward_better": "better on arriving events, and not provably worse on held-out ones",
    "not_worse": "not better, but not provably worse either, and it has learnt from newer events",
    "no_forward_evidence": "too few arriving events told the two apart; not provably worse on held-out ones",
    "forward_worse": "provably worse on arriving events",
    "recent_worse": "provably worse on held-out events",
    "class_floor": "a class would be recognised much less often",
    "memory_worse": "forgets more than gate.max_memory_loss_increase allows",
    "not_finite": "its loss on held-out events is no number",
    "too_little_evidence": "too few unseen events to judge by",
    "suspected": "what arrives may be noise: nothing is published until it is known",
    "rolled_back": "it has learnt from events that turned out to be noise",
    "previous_better": "the predecessor of the serving model is provably better on what arrived since the promotion",
    "overruled": "an operator has promoted another checkpoint while the round went on",
}
"""Every reason of a decision, in words."""

DECISION_REASONS = (
    (PROMOTE, "first_checkpoint"),
    (PROMOTE, "gate_disabled"),
    (PROMOTE, "forward_better"),
    (PROMOTE, "not_worse"),
    (PROMOTE, "no_forward_evidence"),
    (REJECT, "forward_worse"),
    (REJECT, "recent_worse"),
    (REJECT, "class_floor"),
    (REJECT, "memory_worse"),
    (REJECT, "too_little_evidence"),
    (REJECT, "not_finite"),
    (REJECT, "suspected"),
    (REJECT, "rolled_back"),
    (REJECT, "overruled"),
    (ROLLBACK, "previous_better"),
)
"""Which decision can have which reason."""


@dataclass(frozen=True)
class SliceScores:
    """Candidate and serving model on one held-out slice: scores [n] each and targets [n]."""

    candidate: Scores
    serving: Scores
    targets: FloatArray


@dataclass(frozen=True)
class ChallengerEvidence:
    """All that is known of one challenger; ``heldout_events`` is how many there are, those from before a jump too.

    ``misled`` is whether what held-out events object has been proven wrong, and not right since.
    """

    forward: PairedSums
    recent: SliceScores
    memory: SliceScores
    heldout_events: int
    misled: bool = False


@dataclass(frozen=True)
class Decision:
    """What the gate decided, about which challenger, why, on which numbers, and what it could not judge.

    ``restart`` names challengers that are provably worse than the serving model on arriving events: their lineages
    should go on from the serving weights.
    """

    decision: str
    reason: str
    challenger: str | None
    numbers: dict[str, Any] = field(default_factory=dict)
    abstentions: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


def judged(task: Task, scores: Scores) -> FloatArray:
    """Return what models are compared by [n]: log-loss, of which one event counts no more than LARGEST_LOSS.

    For a regression absolute errors.
    """
    return scores.errors if task == "regression" else np.minimum(scores.losses, LARGEST_LOSS)


def decide(settings: Gate, task: Task, challengers: Mapping[str, ChallengerEvidence]) -> Decision:
    """Judge every challenger and return one decision: the best of those that pass, else why the best did not."""
    verdicts = {name: _verdict(settings, task, name, evidence) for name, evidence in challengers.items()}
    restart = tuple(
        name
        for name, evidence in challengers.items()
        if evidence.forward.events >= settings.min_forward_events
        and provably_worse(evidence.forward, settings.restart_alpha)
    )
    best = min(verdicts.values(), key=_rank)
    numbers = {name: verdict.numbers for name, verdict in verdicts.items()}
    return Decision(best.decision, best.reason, best.challenger, numbers, best.abstentions, restart)


def reconsidered(settings: Gate, decision: Decision, previous: PairedSums) -> Decision:
    """Return the decision, or a rollback in its place, given the predecessor's loss minus the serving model's.

    It must be provably better on all that arrived since the promotion, at a level that bears to be asked again after
    every round, and better in the mean than a challenger that would be promoted.
    """
    if not settings.enabled or previous.events < settings.rollback_events:
        return decision
    numbers = {
        "forward_events": previous.events,
        "forward_mean_difference": _plain(previous.mean),
        "forward_standard_error": _plain(previous.standard_error),
    }
    weighed = replace(decision, numbers=decision.numbers | {PREVIOUS: numbers})
    if not provably_better(previous, settings.rollback_alpha):
        return weighed
    if decision.decision == PROMOTE and _difference(decision.numbers[decision.challenger or ""]) <= previous.mean:
        return weighed
    return Decision(ROLLBACK, "previous_better", PREVIOUS, weighed.numbers, decision.abstentions)


def withheld(decision: Decision, reason: str) -> Decision:
    """Return the decision about a round of which nothing is published, whatever its numbers."""
    return Decision(REJECT, reason, decision.challenger, decision.numbers, decision.abstentions)


def outcome_of(decision: Decision) -> str | None:
    """Return how a round has ended with its decision.

    ``rolled_back`` if the predecessor serves again, or if the round had learnt from what turned out to be noise.
    None for the first checkpoint, which is no promotion, and as long as a suspicion has not ended.
    """
    if decision.reason in ("first_checkpoint", "suspected"):
        return None
    if decision.decision == ROLLBACK or decision.reason == "rolled_back":
        return "rolled_back"
    return "promoted" if decision.decision == PROMOTE else "rejected"


def _verdict(settings: Gate, task: Task, name: str, evidence: ChallengerEvidence) -> Decision:
    numbers, abstentions = _numbers(task, evidence), []
    recent = PairedSums.of(judged(task, evidence.recent.candidate) - judged(task, evidence.recent.serving))
    has_forward = evidence.forward.events >= settings.min_forward_events
    has_recent = recent.events >= settings.min_recent_events
    if not has_forward:
        abstentions.append(f"forward: {evidence.forward.events} of {settings.min_forward_events} events")
    if not has_recent:
        abstentions.append(f"recent: {recent.events} of {settings.min_recent_events} events")
    fallen, unjudged = _fallen_classes(settings, evidence.recent) if task != "regression" else ([], [])
    numbers["fallen_classes"] = fallen
    worse = has_recent and provably_worse(recent, settings.recent_alpha)
    numbers["heldout_objects"] = worse or bool(fallen)
    if unjudged:
        abstentions.append(f"class floor: {len(unjudged)} classes with under {settings.min_class_events} events")

    # In this order: the first objection is the reason. A jump leaves few held-out events, and must not stop learning.
    objections = (
        (not has_forward and evidence.heldout_events < settings.min_recent_events, "too_little_evidence"),
        (not np.isfinite(evidence.recent.candidate.losses).all(), "not_finite"),
        (has_forward and provably_worse(evidence.forward, settings.alpha), "forward_worse"),
        (worse and not evidence.misled, "recent_worse"),
        (bool(fallen) and not evidence.misled, "class_floor"),
        (_forgets(settings, task, evidence.memory), "memory_worse"),
    )
    objection = next((reason for holds, reason in objections if holds), None)
    if not settings.enabled:
        decision, reason = PROMOTE, "gate_disabled"
    elif objection is not None:
        decision, reason = REJECT, objection
    else:
        better = "forward_better" if evidence.forward.mean < 0 else "not_worse"
        decision, reason = PROMOTE, better if has_forward else "no_forward_evidence"
    return Decision(decision, reason, name, numbers, tuple(abstentions))


def _fallen_classes(settings: Gate, recent: SliceScores) -> tuple[list[int], list[int]]:
    """Return classes whose recall falls below its floor, and those with too few events to say."""
    fallen, unjudged = [], []
    for label in np.unique(recent.targets):
        rows = recent.targets == label
        if rows.sum() < settings.min_class_events:
            unjudged.append(int(label))
            continue
        kept = 1 - recent.candidate.errors[rows].mean()
        had = 1 - recent.serving.errors[rows].mean()
        if kept < settings.class_floor * had:
            fallen.append(int(label))
    return fallen, unjudged


def _forgets(settings: Gate, task: Task, memory: SliceScores) -> bool:
    if settings.max_memory_loss_increase is None or not len(memory.targets):
        return False
    rise = judged(task, memory.candidate).mean() - judged(task, memory.serving).mean()
    return bool(rise > settings.max_memory_loss_increase)


def _numbers(task: Task, evidence: ChallengerEvidence) -> dict[str, Any]:
    told: dict[str, Any] = {
        "forward_events": evidence.forward.events,
        "forward_mean_difference": _plain(evidence.forward.mean),
        "forward_standard_error": _plain(evidence.forward.standard_error),
    }
    for name, scores in (("recent", evidence.recent), ("memory", evidence.memory)):
        told[f"{name}_events"] = len(scores.targets)
        if len(scores.targets):
            difference = PairedSums.of(judged(task, scores.candidate) - judged(task, scores.serving))
            told[f"{name}_mean_difference"] = _plain(difference.mean)
            told[f"{name}_standard_error"] = _plain(difference.standard_error)
            for role, given in (("candidate", scores.candidate), ("serving", scores.serving)):
                told[f"{name}_{role}_loss"] = float(given.losses.mean())
                told[f"{name}_{role}_error"] = float(given.errors.mean())
    return told


def _plain(value: float) -> float | None:
    """Return a number as JSON can hold it: there is no NaN."""
    return value if np.isfinite(value) else None


def _rank(verdict: Decision) -> tuple[bool, float]:
    """Promotions first, then by mean difference."""
    return verdict.decision != PROMOTE, _difference(verdict.numbers)


def _difference(numbers: Mapping[str, Any]) -> float:
    """Return the mean difference on arriving events where there are any, else on held-out ones."""
    difference = numbers["forward_mean_difference"]
    if difference is None:
        difference = numbers.get("recent_mean_difference")
    return np.inf if difference is None else float(difference)
