"""Under suspicion learning goes on and nothing is published; what turns out to be noise leaves no trace."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.runs import HELD_OUT, LEARNABLE, ROLLED_BACK, Runs
from service.learner.state import capture, restore
from service.records import FATES, Examples
from service.store.arrays import pack, unpack
from service.store.canonical import exact_json
from service.train.fit import train_round
from service.validate.gate import Decision, outcome_of
from tests.examples import learner_of, separable
from tests.suspected import Counted, drive, held, learn, shuffled, take, taught

NO_PROMOTION = {"suspicion_events": 100_000, "min_forward_events": 1_000_000, "min_recent_events": 1_000_000}
"""Nothing is suspected, and no challenger has enough evidence."""


def champion(learner: Learner) -> str:
    """Return the id of the model that serves."""
    assert learner.roles.champion is not None
    return learner.roles.champion.checkpoint_id


def test_a_burst_of_shuffled_labels_leaves_no_trace() -> None:
    """Nothing of it is published, held, or told to be learnt; what was learnt before is there again."""
    counted = Counted()
    learner = taught(counted)
    before, rounds = held(learner), dict(counted.rounds)
    serving = champion(learner)
    burst = [shuffled(100, seed) for seed in range(50, 55)]
    decisions = [learn(learner, part) for part in burst]
    assert {one.reason for one in decisions} == {"suspected"}
    assert counted.rounds == rounds
    last = separable(100, seed=60)
    take(learner, last)
    assert dict(counted.turns) == {"entered": 1, "noise": 1}
    assert counted.rounds - Counter(rounds) == {"rolled_back": 5}
    assert learner.outcomes["rolled_back"] == 5
    assert champion(learner) == serving
    assert held(learner) == before
    assert learner.counts["accepted"] == 1_000
    settled = learner.settle()[1]
    undone = settled.take(settled.fates == ROLLED_BACK)
    assert list(zip(undone.first, undone.last, strict=True)) == [(400, 999)]
    assert learn(learner, separable(100, seed=61)).reason != "suspected"
    learner.absorb(separable(200, seed=62))
    assert learner.prequential.means()["champion"][1] < 0.3


def test_a_change_is_learnt_and_published() -> None:
    """The new labels have to do with the numbers, as the events themselves show: nothing is undone."""
    counted = Counted()
    learner = taught(counted)
    decisions = [learn(learner, separable(100, seed=seed, flipped=True)) for seed in range(50, 54)]
    assert [one.decision for one in decisions[1:]] == ["promote"] * 3
    assert counted.turns["noise"] == 0
    assert learner.outcomes["rolled_back"] == 0


def test_a_change_that_must_be_confirmed_is_published_late() -> None:
    """For those who fear bursts that are consistent in themselves: so many events must confirm it."""
    counted = Counted()
    learner = taught(counted, confirm_events=200)
    decisions = [learn(learner, separable(100, seed=seed, flipped=True)) for seed in range(50, 56)]
    assert [one.reason for one in decisions[:2]] == ["suspected"] * 2
    assert "promote" in [one.decision for one in decisions[2:]]
    assert counted.turns == {"entered": 1, "confirming": 1, "changed": 1}


def test_a_consistent_burst_shorter_than_what_confirms_is_rolled_back() -> None:
    """All labels flipped for a while: learnable, and gone before it was confirmed."""
    counted = Counted()
    learner = taught(counted, confirm_events=1_000)
    before, serving = held(learner), champion(learner)
    for seed in range(50, 54):
        learn(learner, separable(100, seed=seed, flipped=True))
    take(learner, separable(100, seed=60))
    assert counted.turns["noise"] == 1
    assert champion(learner) == serving
    assert held(learner) == before


def test_rounds_under_suspicion_are_counted_when_it_ends() -> None:
    """As rejected, where it was no noise."""
    counted = Counted()
    learner = taught(counted, speculation_max_events=200)
    told = Counter(counted.rounds)
    for seed in range(50, 53):
        learn(learner, shuffled(100, seed))
    assert counted.turns == {"entered": 1, "expired": 1}
    assert counted.rounds - told >= Counter({"rejected": 2})


def test_without_a_gate_nothing_is_suspected() -> None:
    """Every round goes out, burst or not."""
    counted = Counted()
    learner = taught(counted, enabled=False)
    assert {learn(learner, shuffled(100, seed)).decision for seed in range(50, 55)} == {"promote"}
    assert counted.turns == {}


def test_a_restart_under_suspicion_goes_on_with_it() -> None:
    """What is kept aside is in the snapshot: noise is rolled back as if there had been no restart."""
    learner = taught()
    for seed in range(50, 53):
        learn(learner, shuffled(100, seed))
    settled = [learner.settle()[1]]
    arrays, meta = capture(learner)
    published: dict[str, Standing] = {
        one.checkpoint_id: one
        for one in (learner.roles.champion, learner.roles.previous, learner.roles.frozen)
        if one is not None
    }
    copy = learner_of(gate={"suspicion_events": 60})
    restore(copy, unpack(pack(arrays), "here"), json.loads(exact_json(meta)), published.get)
    for one in (learner, copy):
        learn(one, shuffled(100, 53))
        take(one, separable(100, seed=60))
        learn(one, separable(100, seed=61))
    assert copy.outcomes == learner.outcomes
    assert copy.outcomes["rolled_back"] == 4
    assert held(copy) == held(learner)
    runs = Runs.concatenate([*settled, copy.settle()[1]])
    told = sorted(zip(runs.first.tolist(), runs.last.tolist(), runs.fates.tolist(), strict=True))
    assert (400, 899, ROLLED_BACK) in told
    offsets = [offset for first, last, _ in told for offset in range(first, last + 1)]
    assert len(offsets) == len(set(offsets))


def test_a_round_in_flight_at_a_roll_back_brings_nothing() -> None:
    """It trains on what is noise by now."""
    learner = taught()
    learn(learner, shuffled(100, 50))
    given = learner.begin_round("new_events", 0.0)
    take(learner, shuffled(100, 51))
    take(learner, separable(100, seed=60))
    before = learner.portfolio.model
    decision, candidate = learner.conclude(train_round(given))
    assert (decision.reason, candidate) == ("rolled_back", None)
    assert outcome_of(decision) == "rolled_back"
    assert learner.portfolio.model is before
    assert learner.due(0.0) is None
    assert learn(learner, separable(100, seed=61)).reason != "rolled_back"


def test_an_operators_choice_in_a_burst_is_what_the_lineages_go_back_to() -> None:
    """The noise is rolled back all the same."""
    learner = taught()
    assert learner.roles.frozen is not None
    chosen, before = learner.roles.frozen, held(learner)
    learn(learner, shuffled(100, 50))
    learner.stand(chosen)
    learn(learner, shuffled(100, 51))
    take(learner, separable(100, seed=60))
    assert learner.outcomes["rolled_back"] == 2
    assert champion(learner) == chosen.checkpoint_id
    assert learner.portfolio.is_of(chosen.model)
    assert held(learner) == before


@pytest.mark.parametrize("poll", [17, 100, 1_000])
def test_the_size_of_polls_matters_little(poll: int) -> None:
    """However events arrive, no event of a burst is held once it is over, and each has one fate."""
    learner = taught()
    stream = Examples.concatenate([separable(300, seed=70), shuffled(700, 50), separable(600, seed=71)])
    burst = set(stream.keys[300:1_000].tolist())
    runs = drive(learner, stream, poll)
    assert not held(learner) & burst
    found = Counter({FATES[fate]: int(runs.sizes[runs.fates == fate].sum()) for fate in np.unique(runs.fates)})
    assert found.total() == learner.counts["accepted"] == 2_000
    assert found[FATES[ROLLED_BACK]] >= 700
    assert {FATES[LEARNABLE], FATES[HELD_OUT]} <= found.keys()


def worsened(**train: object) -> Learner:
    """Return a learner whose champion was followed by one that learnt the opposite."""
    learner = learner_of(gate=NO_PROMOTION, train=train)
    for seed in range(4):
        learn(learner, separable(100, seed=seed))
    good = learner.roles.champion
    assert good is not None
    wrong = learner_of()
    learn(wrong, separable(400, seed=9, flipped=True))
    bad = wrong.roles.champion
    assert bad is not None
    given = learner.begin_round("new_events", 0.0)
    learner.conclude(train_round(given))
    decision = Decision("promote", "forward_better", "main")
    follows = dict(learner.positions)
    candidate = Candidate(given, decision, bad.model, bad.reference, learner.statistics, follows)
    learner.adopt(candidate, "000099-bbbbbbbb")
    learner.portfolio.restart(list(learner.portfolio.lineages), bad.model)
    assert learner.roles.previous is not None
    assert learner.roles.previous.model is good.model
    return learner


def test_a_bad_promotion_is_undone() -> None:
    """The predecessor is provably better on what arrives: it serves again, under a new id; lineages go on from it."""
    learner = worsened(learning_rate=0.01, steps=1)
    good = learner.roles.previous
    assert good is not None
    decisions = []
    while "rollback" not in decisions:
        decisions.append(learn(learner, separable(100, seed=70 + len(decisions))).decision)
    assert decisions == ["reject", "reject", "rollback"]
    champion = learner.roles.champion
    assert champion is not None
    assert champion.model is good.model
    assert champion.checkpoint_id not in (good.checkpoint_id, "000099-bbbbbbbb")
    assert champion.follows == good.follows
    assert learner.roles.ids()["previous"] == "000099-bbbbbbbb"
    learner.absorb(separable(200, seed=80))
    means = learner.prequential.means()
    assert means["champion"][1] < 0.1


def test_what_is_saved_with_a_rollback_is_what_comes_of_it() -> None:
    """A restart between the snapshot that names the restored checkpoint and its publication loses nothing."""
    learner = worsened(learning_rate=0.01, steps=1)
    candidate, seed = None, 70
    while candidate is None:
        take(learner, separable(100, seed=seed))
        decision, candidate = learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
        seed += 1
    assert decision.decision == "rollback"
    learner.settle()
    arrays, meta = capture(learner, (candidate, "000100-cccccccc"))
    former = {one.checkpoint_id: one for one in (learner.roles.champion, learner.roles.frozen) if one is not None}
    learner.adopt(candidate, "000100-cccccccc")
    assert learner.roles.champion is not None
    former["000100-cccccccc"] = learner.roles.champion
    copy = learner_of(gate=NO_PROMOTION, train={"learning_rate": 0.01, "steps": 1})
    restore(copy, unpack(pack(arrays), "here"), json.loads(exact_json(meta)), former.get)
    for one in (learner, copy):
        take(one, separable(100, seed=90))
        learn(one, separable(100, seed=91))
        one.settle()
    assert copy.roles.ids() == learner.roles.ids()
    assert copy.spans == learner.spans
    assert copy.prequential.means()["challenger"] == pytest.approx(learner.prequential.means()["challenger"])
    assert copy.probation.to_json() == learner.probation.to_json()


def test_on_a_stationary_stream_no_promotion_is_undone() -> None:
    """20,000 events with a tenth of the labels wrong, published after every round that is a little better."""
    learner = learner_of(train={"steps": 5, "first_steps": 60}, window={"replay_events": 500})
    random = np.random.default_rng(3)
    decisions = Counter[str]()
    for seed in range(80):
        examples = separable(250, seed=seed)
        wrong = random.random(250) < 0.1
        decisions[learn(learner, replace(examples, targets=np.abs(examples.targets - wrong))).decision] += 1
    assert decisions["rollback"] == 0
    assert decisions["promote"] > 3
    assert learner.outcomes["rolled_back"] == 0
