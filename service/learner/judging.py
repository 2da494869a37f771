"""Gathers what the gate weighs: candidate and serving model on arriving events and on the held-out slices."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from service.learner.candidate import Candidate
from service.learner.roles import LEAD, Roles
from service.model.normaliser import Normaliser
from service.records import Partition
from service.train.round import Round
from service.validate.gate import PROMOTE, ChallengerEvidence, Decision, SliceScores, decide, reconsidered

if TYPE_CHECKING:
    from service.learner.learner import Learner

MEMORY_ROUNDS = 10
"""Where forgetting is not bounded it is told after so many rounds."""


def judge(learner: "Learner") -> Decision:
    """Return what the gate decides about the portfolio's newest weights, which have predicted no arriving event yet.

    Held-out events from before the error last jumped say nothing. *memory* is the largest slice, and looked at in
    every round only where forgetting is bounded.
    """
    settings, champion, challenger = learner.settings, learner.roles.champion, learner.portfolio.model
    if champion is None or challenger is None:
        return Decision(PROMOTE, "first_checkpoint", LEAD)
    recent, share = learner.holdings.recent(), settings.window.holdout_share
    since_jump = learner.portfolio.mixture.since_jump
    counts = min(settings.gate.recent_events, len(recent), round(since_jump * share / (1 - share)))
    looks = settings.gate.max_memory_loss_increase is not None or learner.counts["rounds"] % MEMORY_ROUNDS == 0
    slices = {
        "recent": recent.take(slice(len(recent) - counts, None)),
        "memory": learner.holdings.memory() if looks else recent.take(slice(0, 0)),
    }
    scored = {
        part: SliceScores(challenger.score(held), champion.model.score(held), held.targets)
        for part, held in slices.items()
    }
    for part, scores in scored.items():
        if len(scores.targets):
            learner.observer.validated(part, "challenger", float(scores.candidate.losses.mean()))
            learner.observer.validated(part, "champion", float(scores.serving.losses.mean()))
    found = ChallengerEvidence(learner.evidence.sums(LEAD), scored["recent"], scored["memory"], len(recent))
    decision = decide(settings.gate, settings.task, {LEAD: found})
    return reconsidered(settings.gate, decision, learner.probation.sums)


def former_of(
    roles: Roles, positions: Mapping[Partition, int], given: Round, decision: Decision, statistics: Normaliser
) -> Candidate:
    """Return the predecessor as a candidate; it has not learnt from offsets that the log has given away since."""
    former = roles.previous
    if former is None:
        raise RuntimeError("there is no predecessor to go back to")
    follows = {source: min(at, positions.get(source, at)) for source, at in former.follows.items()}
    return Candidate(given, decision, former.model, former.reference, statistics, follows, former.checkpoint_id)
