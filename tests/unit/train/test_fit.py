"""Training learns, stops in time, stays near its anchor, and never returns broken weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import RoundFailedError
from service.learner.learner import Learner
from service.model.learned import LearnedModel
from service.records import Examples
from service.train.fit import train_round
from service.train.round import Outcome, Round
from tests.examples import learner_of, separable


def first_round(rows: int = 200, **sections: Any) -> tuple[Learner, Round]:
    """Return a learner and the round of its first trigger."""
    learner = learner_of(**sections)
    learner.absorb(separable(rows))
    return learner, learner.begin_round("first_events", 0.0)


def mistakes(given: Round, outcome: Outcome, examples: Examples) -> float:
    """Return the share of wrong labels of a round's only challenger."""
    return float(LearnedModel.of_members(given.encoder, [outcome.trained[0].weights]).score(examples).errors.mean())


def test_a_first_round_learns_a_simple_rule() -> None:
    """From chance to few mistakes on events it has not seen."""
    _, given = first_round()
    assert mistakes(given, train_round(given), separable(1_000, seed=9)) < 0.1


def test_a_second_round_continues_the_lineage() -> None:
    """After the rule flips, a round on the new events unlearns the old one."""
    learner, given = first_round(train={"steps": 300})
    _, candidate = learner.conclude(train_round(given))
    assert candidate is not None
    learner.adopt(candidate, "000001-00000000")
    learner.absorb(separable(400, seed=1, flipped=True))
    again = learner.begin_round("new_events", 1.0)
    assert again.challengers[0].weights is not None
    assert again.challengers[0].moments
    test = separable(1_000, seed=9, flipped=True)
    assert mistakes(given, train_round(given), test) > 0.9
    assert mistakes(again, train_round(again), test) < 0.4


def test_steps_end_when_the_stopping_split_gets_no_better() -> None:
    """Labels without a rule cannot be learnt, and the round gives up early with its best weights."""
    learner = learner_of(train={"first_steps": 2_000, "stopping_patience": 2, "stopping_every_steps": 5})
    noise = separable(200)
    learner.absorb(replace(noise, targets=np.random.default_rng(5).integers(0, 2, size=200).astype(float)))
    outcome = train_round(learner.begin_round("first_events", 0.0))
    assert outcome.trained[0].steps < 500
    assert outcome.trained[0].stopping_loss is not None
    assert outcome.trained[0].stopping_loss < 0.75


def test_without_early_stopping_all_steps_are_taken() -> None:
    """train.stopping_share = 0 turns it off."""
    _, given = first_round(train={"first_steps": 40, "stopping_share": 0.0})
    outcome = train_round(given)
    assert outcome.trained[0].steps == 40
    assert outcome.trained[0].stopping_loss is None


def test_a_strong_anchor_keeps_weights_near_the_frozen_model() -> None:
    """L2-SP: the stronger the pull, the smaller the distance."""
    distances = []
    for strength in (0.0, 10.0):
        learner, given = first_round(train={"anchor": strength, "stopping_share": 0.0})
        _, candidate = learner.conclude(train_round(given))
        assert candidate is not None
        learner.adopt(candidate, "000001-00000000")
        learner.absorb(separable(400, seed=1, flipped=True))
        again = learner.begin_round("new_events", 1.0)
        after = train_round(again).trained[0].weights
        assert learner.roles.frozen is not None
        (frozen,) = learner.roles.frozen.members
        distances.append(sum(float(((after[name] - frozen[name]) ** 2).sum()) for name in after))
    assert distances[1] < distances[0] / 4


def test_replay_is_mixed_into_the_batches() -> None:
    """With a window of one label only, what the other looked like is known from replay alone."""
    rates = []
    for share in (0.0, 0.5):
        learner = learner_of(train={"replay_share": share, "stopping_share": 0.0, "weight_decay": 0.0})
        learner.absorb(separable(1_000))
        everything = separable(1_000, seed=3)
        learner.absorb(everything.take(everything.targets == 1))
        given = learner.begin_round("first_events", 0.0)
        assert set(given.window.targets) == {1.0}
        test = separable(1_000, seed=9)
        rates.append(mistakes(given, train_round(given), test.take(test.targets == 0)))
    assert rates[0] > 0.9
    assert rates[1] < 0.3


def test_a_loss_that_is_no_number_fails_the_round() -> None:
    """Weights that overflow are no candidate."""
    learner, given = first_round()
    broken = replace(
        given.challengers[0],
        weights={name: np.full_like(array, np.nan) for name, array in train_round(given).trained[0].weights.items()},
    )
    with pytest.raises(RoundFailedError, match=r"no loss of network-.* stayed a number") as caught:
        train_round(replace(given, challengers=(broken,)))
    assert caught.value.cause == "not_finite"
    assert learner.in_flight is given


def test_a_challenger_that_diverges_alone_is_told_apart() -> None:
    """The others are trained, it keeps the weights it began with, and the learner lets it go on from the champion."""
    portfolio = [{"window_events": 100}, {"window_events": 200}, {"kind": "ridge", "bins": True}]
    learner, given = first_round(train={"portfolio": portfolio})
    _, candidate = learner.conclude(train_round(given))
    assert candidate is not None
    learner.adopt(candidate, "000001-00000000")
    learner.absorb(separable(200, seed=1))
    again = learner.begin_round("new_events", 1.0)
    first = again.challengers[0]
    assert first.weights is not None
    broken = replace(first, weights={name: np.full_like(array, np.nan) for name, array in first.weights.items()})
    outcome = train_round(replace(again, challengers=(broken, *again.challengers[1:])))
    assert [one.training_loss is None for one in outcome.trained] == [True, False, False]
    learner.conclude(outcome)
    assert learner.portfolio.model is not None
    assert np.isfinite(learner.portfolio.model.score(separable(50, seed=2)).losses).all()


def test_a_window_of_two_events_can_be_trained_on() -> None:
    """The stopping split never takes all there is."""
    learner = learner_of(train={"stopping_share": 0.5, "first_steps": 10})
    both = separable(400)
    one_of_each = np.r_[np.flatnonzero(both.targets == 0)[:8], np.flatnonzero(both.targets == 1)[:8]]
    learner.absorb(both.take(one_of_each))
    given = learner.begin_round("elapsed", 0.0)
    tiny = replace(given, window=given.window.take(slice(0, 2)))
    assert train_round(tiny).trained[0].steps > 0


def test_categories_and_missing_values_are_learnt() -> None:
    """A label that depends on a category, and on whether a number is missing."""
    schema = {"numeric": ["a"], "categorical": ["colour"], "nullable": ["a"], "labels": ["no", "yes"]}
    learner = learner_of(schema=schema, train={"first_steps": 300})
    random = np.random.default_rng(0)

    def events(rows: int) -> Examples:
        missing = random.random(rows) < 0.5
        red = random.random(rows) < 0.5
        texts = [["red" if one else "blue" for one in red]]
        return Examples(
            numbers=np.where(missing, np.nan, random.normal(size=rows))[:, None],
            codes=learner.categories.encode(texts, grow=True, rows=rows),
            targets=(red ^ missing).astype(float),
            timestamps_ms=np.zeros(rows, dtype=np.int64),
            keys=random.integers(0, 2**63, size=rows, dtype=np.uint64),
        )

    learner.absorb(events(400))
    given = learner.begin_round("first_events", 0.0)
    assert mistakes(given, train_round(given), events(500)) < 0.1


def test_a_regression_is_learnt_in_label_units() -> None:
    """Labels around 1,000 with a spread of 100 need no scaling by the user."""
    learner = learner_of(task="regression", schema={"numeric": ["a", "b"], "labels": []}, train={"first_steps": 400})
    events = separable(400)
    values = replace(events, targets=1_000 + 100 * events.numbers[:, 0])
    learner.absorb(values)
    given = learner.begin_round("first_events", 0.0)
    test = separable(500, seed=9)
    scores = LearnedModel.of_members(given.encoder, [train_round(given).trained[0].weights]).score(
        replace(test, targets=1_000 + 100 * test.numbers[:, 0])
    )
    assert scores.errors.mean() < 25
