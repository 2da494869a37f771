"""The gate: what passes, what does not, and why."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.records import Scores
from service.settings import Gate
from service.validate.evidence import PairedSums
from service.validate.gate import (
    DECISION_REASONS,
    REASONS,
    ChallengerEvidence,
    Decision,
    SliceScores,
    decide,
    outcome_of,
    reconsidered,
    withheld,
)

ROWS = 200


def scores(loss: float, *, seed: int = 0, error: float = 0.1) -> Scores:
    """Return scores of 200 events with exactly this mean loss, and a share of errors."""
    noise = 0.1 * np.random.default_rng(seed).normal(size=ROWS)
    return Scores(loss + noise - noise.mean(), (np.arange(ROWS) % 100 < 100 * error).astype(float))


def slice_of(candidate: Scores, serving: Scores, rows: int = ROWS) -> SliceScores:
    """Return a slice of two balanced classes."""
    return SliceScores(
        candidate.take(slice(0, rows)), serving.take(slice(0, rows)), (np.arange(rows) % 2).astype(float)
    )


def evidence(
    *,
    forward: float | None = -0.1,
    recent: float = -0.1,
    rows: int = ROWS,
    memory: float = 0.0,
    candidate: Scores | None = None,
    heldout: int | None = None,
) -> ChallengerEvidence:
    """Return evidence with these mean differences; below zero the challenger is better."""
    sums = (
        PairedSums() if forward is None else PairedSums.of(forward + 0.01 * np.random.default_rng(1).normal(size=500))
    )
    return ChallengerEvidence(
        forward=sums,
        recent=slice_of(candidate or scores(0.5 + recent, seed=2), scores(0.5, seed=3), rows),
        memory=slice_of(scores(0.5 + memory, seed=4), scores(0.5, seed=5)),
        heldout_events=rows if heldout is None else heldout,
    )


def judge(given: ChallengerEvidence, **gate: Any) -> Decision:
    """Return the decision about one challenger."""
    return decide(Gate(**gate), "binary", {"main": given})


@pytest.mark.parametrize(
    ("given", "decision", "reason"),
    [
        (evidence(), "promote", "forward_better"),
        (evidence(recent=0.005), "promote", "forward_better"),
        (evidence(recent=0.2), "reject", "recent_worse"),
        (evidence(forward=0.1), "reject", "forward_worse"),
        (evidence(forward=None), "promote", "no_forward_evidence"),
        (evidence(forward=None, recent=0.2), "reject", "recent_worse"),
        (evidence(forward=0.0005), "promote", "not_worse"),
        (evidence(forward=None, recent=0.005), "promote", "no_forward_evidence"),
        (evidence(forward=None, rows=10), "reject", "too_little_evidence"),
        (evidence(forward=None, rows=10, heldout=200), "promote", "no_forward_evidence"),
        (evidence(rows=10), "promote", "forward_better"),
    ],
)
def test_each_kind_of_evidence_leads_to_its_reason(given: ChallengerEvidence, decision: str, reason: str) -> None:
    """What is provably worse on arriving or held-out events stays in; a jump that leaves few of both is no reason."""
    found = judge(given)
    assert (found.decision, found.reason) == (decision, reason)


def test_what_could_not_be_judged_is_said() -> None:
    """Each abstention names what there was and what was needed."""
    found = judge(evidence(forward=None, rows=10))
    assert any(line.startswith("forward: 0 of 100") for line in found.abstentions)
    assert any(line.startswith("recent: 10 of 15") for line in found.abstentions)
    assert any("class floor" in line for line in found.abstentions)


def test_giving_up_a_class_is_refused() -> None:
    """A candidate with a better mean loss that no longer recognises one class stays in."""
    errors = (np.arange(ROWS) % 2).astype(float)  # always wrong about class 1
    found = judge(evidence(candidate=Scores(np.full(ROWS, 0.3), errors)))
    assert (found.decision, found.reason) == ("reject", "class_floor")
    assert found.numbers["main"]["fallen_classes"] == [1]


def test_held_out_events_that_have_been_proven_wrong_are_not_heard() -> None:
    """Arriving ones are, and a loss that is no number; the objection is told all the same."""
    fallen = Scores(np.full(ROWS, 0.3), (np.arange(ROWS) % 2).astype(float))
    for given in (evidence(recent=0.2), evidence(candidate=fallen)):
        assert judge(given).decision == "reject"
        found = judge(replace(given, misled=True))
        assert (found.decision, found.numbers["main"]["heldout_objects"]) == ("promote", True)
    assert judge(replace(evidence(forward=0.1), misled=True)).reason == "forward_worse"
    assert judge(replace(evidence(candidate=scores(np.nan)), misled=True)).reason == "not_finite"


def test_a_rare_class_has_no_floor() -> None:
    """Too few events of a class are no reason, and that is said."""
    found = judge(evidence(), min_class_events=150)
    assert found.decision == "promote"
    assert any("class floor" in line for line in found.abstentions)


def test_forgetting_is_bounded_only_where_asked() -> None:
    """The memory slice is told always, and decides with gate.max_memory_loss_increase."""
    forgetful = evidence(memory=0.4)
    assert judge(forgetful).decision == "promote"
    assert judge(forgetful).numbers["main"]["memory_mean_difference"] == pytest.approx(0.4, abs=0.05)
    assert judge(forgetful, max_memory_loss_increase=0.1).reason == "memory_worse"


def test_a_gate_that_is_off_publishes_everything_and_still_tells_its_numbers() -> None:
    """gate.enabled = false is for measuring what the gate costs."""
    found = judge(evidence(forward=1.0, recent=1.0), enabled=False)
    assert (found.decision, found.reason) == ("promote", "gate_disabled")
    assert found.numbers["main"]["forward_mean_difference"] == pytest.approx(1.0, abs=0.01)


def test_a_candidate_that_scores_nan_never_passes() -> None:
    """Broken weights are worse, not unknown."""
    broken = Scores(np.full(ROWS, np.nan), np.ones(ROWS))
    for forward in (-0.1, None):
        assert judge(evidence(forward=forward, candidate=broken)).reason == "not_finite"
    assert judge(evidence(rows=10, candidate=broken)).reason == "not_finite"


def test_the_best_of_several_that_pass_is_chosen() -> None:
    """A portfolio's decision is about one member."""
    found = decide(
        Gate(), "binary", {"good": evidence(forward=-0.1), "best": evidence(forward=-0.3), "bad": evidence(forward=0.5)}
    )
    assert (found.decision, found.challenger) == ("promote", "best")
    assert found.restart == ("bad",)


def test_a_provably_worse_lineage_is_named_for_a_restart() -> None:
    """Its learning went astray: it should go on from the serving weights."""
    assert judge(evidence(forward=0.1)).restart == ("main",)
    assert judge(evidence(forward=0.0001)).restart == ()


def test_a_regression_is_judged_by_absolute_errors() -> None:
    """One outlier squared must not decide."""
    candidate = Scores(losses=np.r_[1e9, np.zeros(ROWS - 1)], errors=np.r_[3e4, np.zeros(ROWS - 1)])
    serving = Scores(losses=np.full(ROWS, 1e6), errors=np.full(ROWS, 1e3))
    given = ChallengerEvidence(
        PairedSums.of(np.full(500, -1.0)), slice_of(candidate, serving), slice_of(candidate, serving), ROWS
    )
    assert decide(Gate(), "regression", {"main": given}).decision == "promote"


def test_decisions_are_plain_json_and_every_reason_has_words() -> None:
    """The journal holds every number; nothing in it is NaN."""
    for given in (evidence(), evidence(forward=None, rows=0)):
        json.dumps(judge(given).numbers, allow_nan=False)
    assert {reason for _, reason in DECISION_REASONS} <= set(REASONS)


def predecessor(mean: float, events: int = 500) -> PairedSums:
    """Return evidence about a predecessor with this mean difference; below zero it is better."""
    noise = np.random.default_rng(6).normal(size=events)
    return PairedSums.of(mean + 0.5 * (noise - noise.mean()))


def test_a_provably_better_predecessor_comes_back() -> None:
    """Whether or not a challenger was rejected, and its numbers are told."""
    decision = reconsidered(Gate(), judge(evidence(forward=0.1)), predecessor(-0.2))
    assert (decision.decision, decision.reason, decision.challenger) == ("rollback", "previous_better", "previous")
    assert decision.numbers["previous"]["forward_mean_difference"] == pytest.approx(-0.2)
    assert decision.numbers.keys() == {"main", "previous"}
    assert outcome_of(decision) == "rolled_back"


def test_a_challenger_that_is_better_still_goes_out() -> None:
    """Of two that are better than the serving model the better one."""
    assert reconsidered(Gate(), judge(evidence(forward=-0.3)), predecessor(-0.2)).decision == "promote"
    assert reconsidered(Gate(), judge(evidence(forward=-0.1)), predecessor(-0.2)).decision == "rollback"


@pytest.mark.parametrize(
    ("previous", "gate"),
    [
        (PairedSums(), {}),
        (predecessor(-0.05), {}),  # two standard errors
        (predecessor(0.2), {}),
        (predecessor(-0.2, events=299), {}),
        (predecessor(-0.2), {"rollback_alpha": 1e-30}),
        (predecessor(-0.2), {"enabled": False}),
    ],
)
def test_without_proof_the_predecessor_stays_away(previous: PairedSums, gate: dict[str, Any]) -> None:
    """The decision about the challenger stands."""
    given = judge(evidence(forward=0.1), **gate)
    decision = reconsidered(Gate(**gate), given, previous)
    assert (decision.decision, decision.reason, decision.restart) == (given.decision, given.reason, given.restart)


def test_equal_models_are_rolled_back_by_chance_less_than_once_in_a_thousand_promotions() -> None:
    """The predecessor is asked after each of ten rounds: 20 streams of 20,000 events, a promotion every 1,000."""
    random, false = np.random.default_rng(0), 0
    decision = judge(evidence(forward=0.1))
    for _ in range(20 * 20):
        sums = PairedSums()
        for _ in range(10):
            # Heavy tails and a common cause within a block, as losses of two models that differ little have.
            sums += PairedSums.of(0.1 * random.standard_t(3, size=100) + random.normal(0, 0.005))
            false += reconsidered(Gate(), decision, sums).decision == "rollback"
    assert false == 0


def test_what_is_withheld_keeps_its_numbers() -> None:
    """But restarts no lineage, and is not counted until it is known what came of it."""
    given = judge(evidence(forward=0.1))
    assert given.restart
    decision = withheld(given, "suspected")
    assert (decision.decision, decision.reason, decision.restart) == ("reject", "suspected", ())
    assert decision.numbers == given.numbers
    assert outcome_of(decision) is None
    assert outcome_of(withheld(given, "rolled_back")) == "rolled_back"


def test_the_first_checkpoint_is_no_promotion() -> None:
    """It is not counted as one."""
    assert outcome_of(Decision("promote", "first_checkpoint", "main")) is None
    assert outcome_of(judge(evidence())) == "promoted"
    assert outcome_of(judge(evidence(forward=0.1))) == "rejected"
