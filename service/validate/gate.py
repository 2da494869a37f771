"""The gate: does a challenger's candidate go out? Pure; every number it weighed is in its decision.

Two kinds of evidence, both on events that neither model was trained on:

- *forward*: how the challenger's lineage predicted the events that arrived over the last rounds, against the serving
  model, before either learnt them. It must be better in the mean.
- *recent*: the newest held-out events, on which the candidate's newest weights are checked. They must not be provably
  worse than the serving model (one-sided paired test), nor give up a class. Without forward evidence *recent* decides
  alone, and there the candidate must be better in the mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from service.records import FloatArray, Scores
from service.settings import Gate, Task
from service.validate.evidence import PairedSums

PROMOTE = "promote"
REJECT = "reject"

REASONS = {
    "first_checkpoint": "there was no model yet",
    "gate_disabled": "gate.enabled is false",
    "forward_better": "better on arriving events, and not provably worse on held-out ones",
    "no_forward_evidence": "too few arriving events told the two apart; better on held-out ones",
    "forward_not_better": "not better on arriving events",
    "recent_not_better": "no forward evidence, and not better on held-out events",
    "recent_worse": "provably worse on held-out events",
    "class_floor": "a class would be recognised much less often",
    "memory_worse": "forgets more than gate.max_memory_loss_increase allows",
    "not_finite": "its loss on held-out events is no number",
    "too_little_evidence": "too few unseen events to judge by",
    "overruled": "an operator has promoted another checkpoint while the round went on",
}
"""Every reason of a decision, in words."""

DECISION_REASONS = (
    (PROMOTE, "first_checkpoint"),
    (PROMOTE, "gate_disabled"),
    (PROMOTE, "forward_better"),
    (PROMOTE, "no_forward_evidence"),
    (REJECT, "forward_not_better"),
    (REJECT, "recent_not_better"),
    (REJECT, "recent_worse"),
    (REJECT, "class_floor"),
    (REJECT, "memory_worse"),
    (REJECT, "too_little_evidence"),
    (REJECT, "not_finite"),
    (REJECT, "overruled"),
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
    """All that is known of one challenger."""

    forward: PairedSums
    recent: SliceScores
    memory: SliceScores


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
    """Return what models are compared by [n]: log-loss; for a regression absolute errors, which no outlier sways."""
    return scores.errors if task == "regression" else scores.losses


def decide(settings: Gate, task: Task, challengers: Mapping[str, ChallengerEvidence]) -> Decision:
    """Judge every challenger and return one decision: the best of those that pass, else why the best did not."""
    verdicts = {name: _verdict(settings, task, name, evidence) for name, evidence in challengers.items()}
    restart = tuple(
        name
        for name, evidence in challengers.items()
        if evidence.forward.events >= settings.min_forward_events and _provably_worse(evidence.forward, settings)
    )
    best = min(verdicts.values(), key=_rank)
    numbers = {name: verdict.numbers for name, verdict in verdicts.items()}
    return Decision(best.decision, best.reason, best.challenger, numbers, best.abstentions, restart)


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
    if unjudged:
        abstentions.append(f"class floor: {len(unjudged)} classes with under {settings.min_class_events} events")

    # In this order: the first objection is the reason.
    objections = (
        (not has_forward and not has_recent, "too_little_evidence"),
        (recent.events > 0 and not np.isfinite(recent.total), "not_finite"),
        (has_forward and not evidence.forward.mean < 0, "forward_not_better"),
        (has_recent and _provably_worse(recent, settings), "recent_worse"),
        (bool(fallen), "class_floor"),
        (_forgets(settings, task, evidence.memory), "memory_worse"),
        (not has_forward and not recent.mean < 0, "recent_not_better"),
    )
    objection = next((reason for holds, reason in objections if holds), None)
    if not settings.enabled:
        decision, reason = PROMOTE, "gate_disabled"
    elif objection is not None:
        decision, reason = REJECT, objection
    else:
        decision, reason = PROMOTE, "forward_better" if has_forward else "no_forward_evidence"
    return Decision(decision, reason, name, numbers, tuple(abstentions))


def _provably_worse(sums: PairedSums, settings: Gate) -> bool:
    """Tell whether the mean difference of enough events is above zero beyond chance."""
    bound = sums.mean - NormalDist().inv_cdf(1 - settings.alpha) * sums.standard_error
    # Written so that a NaN, which a broken candidate scores, counts as worse.
    return not bound <= 0


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
    """Promotions first, then by mean difference: on arriving events where there are any, else on held-out ones."""
    numbers = verdict.numbers
    difference = numbers["forward_mean_difference"]
    if difference is None:
        difference = numbers.get("recent_mean_difference")
    return verdict.decision != PROMOTE, np.inf if difference is None else difference
