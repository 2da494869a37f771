"""Gathers what the gate weighs: candidate and serving model on arriving events and on the held-out slices."""

from collections.abc import Mapping

from service.learner.candidate import Candidate
from service.learner.parts import Parts
from service.learner.roles import LEAD, Roles
from service.model.asked import Asked
from service.model.normaliser import Normaliser
from service.records import FloatArray, Partition
from service.train.round import Round
from service.validate.gate import PROMOTE, ChallengerEvidence, Decision, SliceScores, decide, reconsidered

MEMORY_ROUNDS = 10
"""Where forgetting is not bounded it is told after so many rounds."""


def judge(learner: Parts) -> tuple[Decision, FloatArray | None]:
    """Return what the gate decides about the portfolio's newest weights, which have predicted no arriving event yet.

    And what they predict for the newest held-out events [n], None where there is nothing to compare them with.
    Held-out events from before the error last jumped say nothing. *memory* is the largest slice, and looked at in
    every round only where forgetting is bounded.
    """
    settings, champion, challenger = learner.settings, learner.roles.champion, learner.portfolio.model
    if champion is None or challenger is None:
        return Decision(PROMOTE, "first_checkpoint", LEAD), None
    recent, share = learner.holdings.recent(), settings.window.holdout_share
    since_jump = learner.portfolio.mixture.since_jump
    counts = min(settings.gate.recent_events, len(recent), round(since_jump * share / (1 - share)))
    looks = settings.gate.max_memory_loss_increase is not None or learner.counts["rounds"] % MEMORY_ROUNDS == 0
    newest, predicted = slice(len(recent) - counts, None), challenger.score(recent)
    serving, memory = recent.take(newest), Asked(learner.holdings.memory() if looks else recent.take(slice(0, 0)))
    scored = {
        "recent": SliceScores(predicted.take(newest), champion.model.score(serving), serving.targets),
        "memory": SliceScores(challenger.score(memory), champion.model.score(memory), memory.examples.targets),
    }
    for part, scores in scored.items():
        if len(scores.targets):
            learner.observer.validated(part, "challenger", float(scores.candidate.losses.mean()))
            learner.observer.validated(part, "champion", float(scores.serving.losses.mean()))
    forward, probation = learner.evidence.sums(LEAD), learner.probation
    probation.weigh(forward, settings.gate.min_forward_events, settings.gate.alpha)
    found = ChallengerEvidence(forward, scored["recent"], scored["memory"], len(recent), misled=not probation.heard)
    decision = decide(settings.gate, settings.task, {LEAD: found})
    probation.objected = decision.numbers[LEAD]["heldout_objects"]
    return reconsidered(settings.gate, decision, probation.sums), predicted.predicted


def former_of(
    roles: Roles, positions: Mapping[Partition, int], given: Round, decision: Decision, statistics: Normaliser
) -> Candidate:
    """Return the predecessor as a candidate; it has not learnt from offsets that the log has given away since."""
    former = roles.previous
    if former is None:
        raise RuntimeError("there is no predecessor to go back to")
    follows = {source: min(at, positions.get(source, at)) for source, at in former.follows.items()}
    return Candidate(given, decision, former.model, former.reference, statistics, follows, former.checkpoint_id)
