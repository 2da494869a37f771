"""The learner: predicts first and learns afterwards, one round at a time, and publishes only what passed."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.learner.learner import Learner
from service.learner.roles import LEAD, Standing
from service.learner.state import capture, restore, resume_from
from service.observer import Observer
from service.records import Examples, Partition, Scores
from service.train.fit import train_round
from tests.examples import learner_of, separable, settings_of


class Noted(Observer):
    """Keeps what was scored."""

    def __init__(self) -> None:
        self.scored_roles: list[dict[str, float]] = []

    def scored(self, examples: Examples, scores: dict[str, Scores]) -> None:
        """Keep each role's error."""
        assert all(len(given) == len(examples) for given in scores.values())
        self.scored_roles.append({role: float(given.errors.mean()) for role, given in scores.items()})


def learn_once(learner: Learner, examples: Examples, checkpoint_id: str) -> str:
    """Take in events, carry one round out and adopt what passes; return the gate's reason."""
    learner.absorb(examples)
    outcome = train_round(learner.begin_round("new_events", 0.0))
    decision, candidate = learner.conclude(replace(outcome, cpu_seconds=0.5))  # measured, no two are alike
    if candidate is not None:
        learner.adopt(candidate, checkpoint_id)
    return decision.reason


def test_events_are_scored_before_they_are_learnt() -> None:
    """The block in which the rule flips is a failure for every model, whatever is learnt from it."""
    noted = Noted()
    learner = learner_of(noted)
    assert learn_once(learner, separable(300), "000001-aaaaaaaa") == "first_checkpoint"
    learner.absorb(separable(200, seed=1, flipped=True))
    assert noted.scored_roles[-1]["champion"] > 0.8


def test_the_first_checkpoint_is_champion_and_frozen_and_needs_no_gate() -> None:
    """Until the next promotion nothing else was ever published."""
    learner = learner_of()
    learn_once(learner, separable(300), "000001-aaaaaaaa")
    assert learner.roles.ids() == {"champion": "000001-aaaaaaaa", "previous": None, "frozen": "000001-aaaaaaaa"}


def test_a_change_is_followed_and_the_frozen_model_tells_what_it_bought() -> None:
    """After a flip, rounds promote until the champion is right again; frozen stays wrong."""
    noted = Noted()
    learner = learner_of(noted, window={"events": 200, "recent_events": 20})
    learn_once(learner, separable(300), "000001-aaaaaaaa")
    for number in range(2, 12):
        learn_once(learner, separable(200, seed=number, flipped=True), f"{number:06d}-aaaaaaaa")
    assert noted.scored_roles[-1]["champion"] < 0.2
    assert noted.scored_roles[-1]["frozen"] > 0.8
    assert learner.roles.ids()["previous"] not in (None, learner.roles.ids()["champion"])


def test_no_round_begins_while_one_is_in_flight_and_triggers_coalesce() -> None:
    """A slow round makes one more round due, not many."""
    learner = learner_of()
    learner.absorb(separable(150))
    assert learner.due(0.0) == "first_events"
    given = learner.begin_round("first_events", 0.0)
    for seed in range(5):
        learner.absorb(separable(150, seed=seed + 1))
        assert learner.due(100.0) is None
    learner.conclude(train_round(given))
    assert learner.due(100.0) == "first_events"
    learner.begin_round("first_events", 100.0)
    assert learner.due(100.0) is None


def test_an_abandoned_round_leaves_its_events_new() -> None:
    """The next trigger does not wait for as many events again."""
    learner = learner_of()
    learner.absorb(separable(150))
    learner.begin_round("first_events", 0.0)
    assert learner.due(0.0) is None
    learner.abandon()
    assert learner.due(0.0) == "first_events"


def test_one_label_only_is_not_learnt_from() -> None:
    """A classifier needs two; the trigger waits for the second."""
    learner = learner_of(schema={"numeric": ["a", "b"], "labels": []})
    both = separable(600)
    learner.labels.index("yes")
    learner.absorb(both.take(both.targets == 1))
    assert learner.due(1e9) is None
    learner.labels.index("no")
    assert learner.due(1e9) == "first_events"


def test_held_out_events_are_in_no_round() -> None:
    """Nothing that a candidate is judged on was trained on."""
    learner = learner_of()
    learner.absorb(separable(2_000))
    given = learner.begin_round("first_events", 0.0)
    trained_on = {*given.window.keys.tolist(), *given.replay.keys.tolist()}
    judged_on = {*learner.holdings.recent().keys.tolist(), *learner.holdings.memory().keys.tolist()}
    assert judged_on
    assert not trained_on & judged_on


def test_a_provably_worse_lineage_goes_on_from_the_champion() -> None:
    """A challenger that learnt a rule that never came again is set back, and its evidence forgotten."""
    learner = learner_of(gate={"min_recent_events": 1_000_000}, train={"steps": 300})
    learn_once(learner, separable(600), "000001-aaaaaaaa")
    assert learn_once(learner, separable(600, seed=1, flipped=True), "-") == "too_little_evidence"
    assert learn_once(learner, separable(600, seed=2), "-") == "forward_worse"
    champion = learner.roles.champion
    assert champion is not None
    assert learner.portfolio.is_of(champion.model)
    assert learner.evidence.sums(LEAD).events == 0


def test_what_was_judged_stays_known_when_its_lineage_is_set_back() -> None:
    """It is the round's own model that servers can be shown, not what learning goes on from."""
    learner = learner_of(gate={"min_recent_events": 1_000_000}, train={"steps": 300})
    learn_once(learner, separable(600), "000001-aaaaaaaa")
    champion = learner.roles.champion
    assert champion is not None
    assert learner.judged is champion.model
    learn_once(learner, separable(600, seed=1, flipped=True), "-")
    assert learn_once(learner, separable(600, seed=2), "-") == "forward_worse"
    assert learner.portfolio.is_of(champion.model)
    assert learner.judged is not None
    assert learner.judged.network is not champion.model.network


def test_one_outlier_does_not_end_learning() -> None:
    """A feature value and a thousand deviations: the rounds after it still bring better candidates."""
    learner = learner_of(window={"events": 200, "recent_events": 50})
    learn_once(learner, separable(400), "000001-aaaaaaaa")
    odd = separable(1, seed=7)
    odd.numbers[:] = 1_000.0
    learner.absorb(odd)
    reasons = [
        learn_once(learner, separable(200, seed=number, flipped=True), f"{number:06d}-aaaaaaaa")
        for number in range(2, 12)
    ]
    assert sum(reason in ("forward_better", "no_forward_evidence") for reason in reasons) >= 3
    assert learner.prequential.means()["champion"][1] < 0.3


def test_an_operators_choice_is_what_learning_goes_on_from() -> None:
    """Challengers restart from it, and the next checkpoint's data begins where its own ended."""
    learner = learner_of(gate={"enabled": False})
    source = Partition("events", 0)
    chosen = None
    for number in range(3):
        learner.advance(source, 200 * number, 200 * (number + 1), refused=0)
        learn_once(learner, separable(200, seed=number), f"{number:06d}-aaaaaaaa")
        chosen = chosen or learner.roles.champion
    assert chosen is not None
    learner.stand(chosen)
    assert learner.portfolio.is_of(chosen.model)
    learner.advance(source, 600, 800, refused=0)
    learner.absorb(separable(200, seed=9))
    given = learner.begin_round("new_events", 0.0)
    assert given.parent == "000000-aaaaaaaa"
    assert (given.data[0]["first"], given.data[0]["last"]) == (200, 799)


def test_data_spans_of_a_chain_do_not_overlap() -> None:
    """On the ancestry of a checkpoint each offset is admitted once."""
    learner = learner_of(gate={"enabled": False})
    source = Partition("events", 0)
    spans = []
    for number in range(3):
        learner.advance(source, 200 * number, 200 * (number + 1), refused=0)
        learner.absorb(separable(200, seed=number))
        given = learner.begin_round("new_events", 0.0)
        spans.append(given.data[0])
        _, candidate = learner.conclude(train_round(given))
        assert candidate is not None
        learner.adopt(candidate, f"{number:06d}-aaaaaaaa")
    assert [(span["first"], span["last"]) for span in spans] == [(0, 199), (200, 399), (400, 599)]


def state_of(learner: Learner) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a learner's captured state, its plain values through JSON as a snapshot keeps them."""
    arrays, meta = capture(learner)
    return arrays, json.loads(json.dumps(meta))


def test_a_restored_learner_goes_on_exactly_as_the_original() -> None:
    """Same decisions, same weights, same holdings: nothing is lost and nothing doubled."""
    original = learner_of()
    published: dict[str, Standing] = {}

    def step(learner: Learner, number: int) -> str:
        learner.advance(Partition("events", 0), 300 * number, 300 * (number + 1), refused=1)
        reason = learn_once(learner, separable(300, seed=number, flipped=number > 2), f"{number:06d}-aaaaaaaa")
        if learner.roles.champion is not None:
            published[learner.roles.champion.checkpoint_id] = learner.roles.champion
        return reason

    for number in range(1, 4):
        step(original, number)
    copy = learner_of()
    restore(copy, *state_of(original), published.get)
    for number in range(4, 7):
        assert step(copy, number) == step(original, number)
    ours, theirs = state_of(original), state_of(copy)
    assert ours[1] == theirs[1]
    assert all(np.array_equal(ours[0][name], theirs[0][name], equal_nan=True) for name in ours[0])


def test_a_state_captured_with_a_round_in_flight_has_its_events_new() -> None:
    """A round lost with the process is due again at once."""
    original = learner_of()
    original.absorb(separable(150))
    original.begin_round("first_events", 0.0)
    copy = learner_of()
    restore(copy, *state_of(original), lambda _: None)
    assert copy.due(0.0) == "first_events"


def test_a_state_captured_for_a_promotion_names_the_candidate_as_champion() -> None:
    """The snapshot comes before the pointer: a restart between them finishes the promotion."""
    original = learner_of()
    original.advance(Partition("events", 0), 0, 300, refused=0)
    original.absorb(separable(300))
    _, candidate = original.conclude(train_round(original.begin_round("first_events", 0.0)))
    assert candidate is not None
    arrays, meta = capture(original, (candidate, "000001-aaaaaaaa"))
    original.adopt(candidate, "000001-aaaaaaaa")
    copy = learner_of()
    restore(copy, arrays, json.loads(json.dumps(meta)), lambda _: original.roles.champion)
    assert copy.roles.ids() == original.roles.ids()
    assert copy.spans == original.spans
    champion = copy.roles.champion
    assert champion is not None
    assert copy.portfolio.is_of(champion.model)


def test_without_a_snapshot_learning_goes_on_from_the_checkpoint() -> None:
    """As after pretrain: the same vocabulary, labels, scales and weights."""
    original = learner_of(schema={"numeric": ["a", "b"], "labels": []})
    original.labels.index("no")
    original.labels.index("yes")
    original.absorb(separable(300))
    _, candidate = original.conclude(train_round(original.begin_round("first_events", 0.0)))
    assert candidate is not None
    encoder = json.loads(json.dumps(candidate.encoder_json()))
    standing = Standing.from_parts("000001-aaaaaaaa", candidate.model.weights(), encoder)
    fresh = Learner(settings_of(schema={"numeric": ["a", "b"], "labels": []}), Observer())
    resume_from(fresh, standing, standing, encoder)
    assert fresh.labels.names == ("no", "yes")
    assert fresh.labels.index("maybe") is None
    assert fresh.statistics.means == pytest.approx(original.statistics.means)
    assert all(one.weights is not None for one in fresh.portfolio.lineages.values())


def two_topics(learner: Learner, number: int, *, both: bool) -> None:
    """Let 200 events of one topic come in, and as many of another one."""
    for topic in ("events", "more") if both else ("events",):
        at = learner.positions.get(Partition(topic, 0), 0)
        learner.advance(Partition(topic, 0), at, at + 200, refused=0)
    learn_once(learner, separable(200, seed=number), f"{number:06d}-aaaaaaaa")


def test_a_choice_knows_where_idle_partitions_go_on() -> None:
    """A partition that had nothing new in a checkpoint's round goes on behind what its ancestors have learnt."""
    learner = learner_of(gate={"enabled": False})
    two_topics(learner, 0, both=True)
    two_topics(learner, 1, both=False)
    chosen = learner.roles.champion
    assert chosen is not None
    two_topics(learner, 2, both=True)
    learner.stand(chosen)
    assert learner.spans == {Partition("events", 0): 400, Partition("more", 0): 200}


def test_a_choice_from_before_a_partition_was_known_begins_at_its_beginning() -> None:
    """What came of it since was learnt by what was taken back."""
    learner = learner_of(gate={"enabled": False})
    two_topics(learner, 0, both=False)
    chosen = learner.roles.champion
    assert chosen is not None
    two_topics(learner, 1, both=True)
    learner.stand(chosen)
    assert learner.spans == {Partition("events", 0): 200, Partition("more", 0): 0}


def test_a_topic_made_anew_during_a_round_begins_at_its_beginning() -> None:
    """The candidate knows where the former topic went on, which says nothing about the new one."""
    learner = learner_of(gate={"enabled": False})
    source = Partition("events", 0)
    learner.advance(source, 0, 500, refused=0)
    learner.absorb(separable(200))
    given = learner.begin_round("first_events", 0.0)
    learner.rewind(source, 0, 499)
    learner.advance(source, 0, 40, refused=0)
    _, candidate = learner.conclude(train_round(given))
    assert candidate is not None
    learner.adopt(candidate, "000001-aaaaaaaa")
    assert learner.spans == {source: 0}


def test_a_round_whose_answer_makes_no_sense_can_still_be_abandoned() -> None:
    """Nothing has changed before all of it was understood: the events are new again."""
    learner = learner_of(gate={"enabled": False})
    learner.absorb(separable(200))
    given = learner.begin_round("first_events", 0.0)
    good = train_round(given)
    bad = replace(good, trained=tuple(replace(one, weights={}) for one in good.trained))
    with pytest.raises((KeyError, ValueError)):
        learner.conclude(bad)
    learner.abandon(diverged=True)
    assert learner.new_events == 200
