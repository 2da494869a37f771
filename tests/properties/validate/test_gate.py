"""The gate never lets out what its evidence speaks against, or what it has no evidence for."""

import json
from statistics import NormalDist
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from service.records import Scores
from service.settings import Gate, Task
from service.store.canonical import canonical_json
from service.validate.evidence import PairedSums
from service.validate.gate import DECISION_REASONS, PROMOTE, ChallengerEvidence, Decision, SliceScores, decide
from tests.properties.effort import examples

settings = st.builds(
    Gate,
    alpha=st.sampled_from([0.01, 0.05, 0.5]),
    min_forward_events=st.integers(2, 20),
    min_recent_events=st.integers(2, 20),
    min_class_events=st.integers(1, 8),
    class_floor=st.floats(0, 1),
    max_memory_loss_increase=st.one_of(st.none(), st.floats(0, 1)),
)
tasks: st.SearchStrategy[Task] = st.sampled_from(["binary", "multiclass", "regression"])


def some_slice(random: np.random.Generator, task: Task, rows: int, edge: float) -> SliceScores:
    """Return scores of two models on so many events; the candidate's are lower by about ``edge``."""

    def scores(shift: float) -> Scores:
        losses = np.abs(random.normal(1 + shift, 0.3, rows))
        right = losses if task == "regression" else (losses > 1).astype(float)
        return Scores(losses**2 if task == "regression" else losses, right)

    return SliceScores(scores(-edge), scores(0.0), random.integers(0, 3, rows).astype(float))


@st.composite
def evidence(draw: st.DrawFn, task: Task) -> ChallengerEvidence:
    """Return any evidence about one challenger."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    edge = draw(st.sampled_from([-0.5, -0.1, 0.0, 0.1, 0.5]))
    rows, forward = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    return ChallengerEvidence(
        PairedSums.of(random.normal(-edge, 0.2, forward)),
        some_slice(random, task, rows, edge),
        some_slice(random, task, draw(st.integers(0, 40)), edge),
        rows + draw(st.integers(0, 20)),
    )


def judged(task: Task, part: SliceScores) -> np.ndarray:
    """Return what is compared on a slice: losses, or a regression's errors; candidate minus serving."""
    if task == "regression":
        return part.candidate.errors - part.serving.errors
    return np.minimum(part.candidate.losses, 4.0) - np.minimum(part.serving.losses, 4.0)


def swapped(one: ChallengerEvidence) -> ChallengerEvidence:
    """Return the evidence as it were if candidate and serving model changed places."""
    return ChallengerEvidence(
        PairedSums(one.forward.events, -one.forward.total, one.forward.squares),
        *(SliceScores(part.serving, part.candidate, part.targets) for part in (one.recent, one.memory)),
        one.heldout_events,
    )


@examples(200)
@given(settings, tasks, st.data())
def test_what_is_promoted_has_earned_it(gate: Gate, task: Task, data: st.DataObject) -> None:
    """Not provably worse on arriving or held-out events, no class given up, and a reason that the decision can have."""
    challengers = {name: data.draw(evidence(task)) for name in data.draw(st.sampled_from(["a", "ab", "abc"]))}
    decision = decide(gate, task, challengers)
    assert (decision.decision, decision.reason) in DECISION_REASONS
    assert decision.challenger is not None
    chosen = challengers[decision.challenger]
    if decision.decision == PROMOTE:
        has_forward = chosen.forward.events >= gate.min_forward_events
        assert has_forward or chosen.heldout_events >= gate.min_recent_events
        if has_forward:
            assert chosen.forward.mean <= -NormalDist().inv_cdf(gate.alpha) * chosen.forward.standard_error
        assert decision.numbers[decision.challenger]["fallen_classes"] == []
        if len(chosen.recent.targets) >= gate.min_recent_events:
            worse = judged(task, chosen.recent)
            error = worse.std(ddof=1) / np.sqrt(len(worse))
            assert worse.mean() <= -NormalDist().inv_cdf(gate.recent_alpha) * error + 1e-9
        if gate.max_memory_loss_increase is not None and len(chosen.memory.targets):
            assert judged(task, chosen.memory).mean() <= gate.max_memory_loss_increase + 1e-9
    else:
        assert all(decide(gate, task, {name: one}).decision != PROMOTE for name, one in challengers.items())


@examples(150)
@given(settings, tasks, st.data())
def test_of_two_models_the_provably_worse_never_goes_out(gate: Gate, task: Task, data: st.DataObject) -> None:
    """Whichever of them serves, unless both are about as good, one of them stays in."""
    one = data.draw(evidence(task))
    both = [decide(gate, task, {"a": given_evidence}) for given_evidence in (one, swapped(one))]
    assert [one.reason for one in both].count("forward_better") < 2
    if both[0].reason == "forward_worse" and gate.alpha < 0.5:
        assert both[1].reason != "forward_worse"


@examples(150)
@given(settings, tasks, st.data())
def test_too_little_evidence_promotes_nothing(gate: Gate, task: Task, data: st.DataObject) -> None:
    """However good the little looks."""
    one = data.draw(evidence(task))
    assume(one.forward.events < gate.min_forward_events and one.heldout_events < gate.min_recent_events)
    decision = decide(gate, task, {"a": one})
    assert (decision.decision, decision.reason) == ("reject", "too_little_evidence")


@examples(100)
@given(settings, tasks, st.data(), st.sampled_from([np.nan, np.inf]))
def test_a_candidate_that_scores_no_number_never_goes_out(
    gate: Gate, task: Task, data: st.DataObject, broken: float
) -> None:
    """One NaN among its losses is enough, on arriving or on held-out events."""
    one = data.draw(evidence(task))
    assume(len(one.recent.targets))
    scores = one.recent.candidate
    losses, errors = scores.losses.copy(), scores.errors.copy()
    losses[-1] = errors[-1] = broken
    bad = ChallengerEvidence(one.forward, SliceScores(Scores(losses, errors), *_rest(one.recent)), one.memory, 99)
    assert decide(gate, task, {"a": bad}).decision != PROMOTE
    forward = ChallengerEvidence(PairedSums(gate.min_forward_events, broken, broken), one.recent, one.memory, 99)
    assert decide(gate, task, {"a": forward}).decision != PROMOTE


@examples(100)
@given(settings, tasks, st.data())
def test_without_a_gate_the_best_goes_out(gate: Gate, task: Task, data: st.DataObject) -> None:
    """Of any evidence."""
    challengers = {name: data.draw(evidence(task)) for name in "ab"}
    decision = decide(gate.model_copy(update={"enabled": False}), task, challengers)
    assert (decision.decision, decision.reason) == (PROMOTE, "gate_disabled")


@examples(100)
@given(settings, tasks, st.data())
def test_a_decision_is_pure_and_can_be_written_down(gate: Gate, task: Task, data: st.DataObject) -> None:
    """The same evidence, in whatever order, gives the same decision, and its numbers are strict JSON."""
    challengers = {name: data.draw(evidence(task)) for name in "ab"}
    decision = decide(gate, task, challengers)
    assert told(decide(gate, task, challengers)) == told(decision)
    if decision.decision == PROMOTE:
        other = decide(gate, task, dict(reversed(challengers.items())))
        assert (other.decision, {*other.restart}) == (decision.decision, {*decision.restart})
    assert json.loads(canonical_json(decision.numbers)).keys() == challengers.keys()


def told(decision: Decision) -> bytes:
    """Return all that a decision says."""
    whole: dict[str, Any] = {
        "what": [decision.decision, decision.reason, decision.challenger],
        "numbers": decision.numbers,
        "more": [decision.abstentions, decision.restart],
    }
    return canonical_json(whole)


def _rest(part: SliceScores) -> tuple[Scores, np.ndarray]:
    return part.serving, part.targets
