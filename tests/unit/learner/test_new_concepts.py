"""Noise that ends in a new concept, and noise and change in a regression."""

from dataclasses import replace

import numpy as np
import pytest

from service.learner.runs import ROLLED_BACK
from service.records import Examples
from tests.examples import learner_of, separable
from tests.suspected import Counted, drive, held, learn, shuffled, take, taught

REGRESSION = {"task": "regression", "schema": {"numeric": ["a", "b"], "labels": []}, "gate": {"suspicion_events": 60}}


@pytest.mark.parametrize(("poll", "first"), [(20, 700), (100, 700), (1_000, 400)])
def test_noise_before_a_new_concept_is_undone_and_the_concept_learnt(poll: int, first: int) -> None:
    """Its end is dated to within 40 events, its beginning too, or to the batch; the new champion is right."""
    counted = Counted()
    learner = taught(counted)
    parts = separable(300, seed=70), shuffled(700, 51), separable(600, seed=71, flipped=True)
    runs = drive(learner, Examples.concatenate(parts), poll)
    assert counted.turns == {"entered": 1, "changed": 1}
    noise, concept = parts[1].keys.tolist(), set(parts[2].keys.tolist())
    assert not held(learner) & set(noise[40:-40])
    assert len(held(learner) & concept) > 300
    undone = runs.take(runs.fates == ROLLED_BACK)
    assert abs(int(undone.first.min()) - first) <= 40
    assert abs(int(undone.last.max()) - 1_399) <= 40
    assert undone.sizes.sum() == undone.last.max() - undone.first.min() + 1
    assert runs.sizes.sum() == learner.counts["accepted"] == 2_000
    assert learner.outcomes["rolled_back"] > 0
    for seed in (72, 73):
        learn(learner, separable(100, seed=seed, flipped=True))
    learner.absorb(separable(200, seed=74, flipped=True))
    assert learner.prequential.means()["champion"][1] < 0.3


def test_the_new_concept_is_published_at_once() -> None:
    """With the first of its events by which it is known, long before a round would be due."""
    learner = taught()
    for seed in range(50, 55):
        learn(learner, shuffled(100, seed))
    concept, reasons = separable(200, seed=60, flipped=True), []
    while not reasons or reasons[-1] is None:
        begin = 20 * len(reasons)
        take(learner, concept.take(slice(begin, begin + 20)))
        reasons.append(learner.due(0.0))
    assert reasons[-1] == "new_concept"
    assert len(reasons) <= 4
    decision = learn(learner, concept.take(slice(20 * len(reasons), 20 * len(reasons) + 1)))
    assert decision.decision == "promote"
    assert learner.due(0.0) is None


def line(rows: int, seed: int, *, slope: float = 1.0, noise: bool = False) -> Examples:
    """Return events whose value is a line in their numbers with some scatter, or the same values shuffled."""
    examples, random = separable(rows, seed=seed), np.random.default_rng(seed + 1)
    values = 100 + slope * 10 * examples.numbers.sum(axis=1) + random.normal(size=rows)
    return replace(examples, targets=random.permutation(values) if noise else values)


def test_shuffled_values_of_a_regression_leave_no_trace() -> None:
    """The champion errs no less than the running mean does, nothing can be learnt: undone when it is right again."""
    counted = Counted()
    learner = learner_of(counted, **REGRESSION)
    parts = line(600, 1), line(500, 2, noise=True), line(300, 3)
    runs = drive(learner, Examples.concatenate(parts), 100)
    assert counted.turns == {"entered": 1, "noise": 1}
    assert not held(learner) & set(parts[1].keys.tolist())
    undone = runs.take(runs.fates == ROLLED_BACK)
    assert set(range(600, 1_100)) <= {
        offset for first, last in zip(undone.first, undone.last, strict=True) for offset in range(first, last + 1)
    }
    assert learner.outcomes["rolled_back"] > 0
    learner.absorb(line(200, 4))
    assert learner.prequential.means()["champion"][1] < 5


def test_a_change_of_a_regression_is_learnt() -> None:
    """Values that follow another line can be learnt: that is known within 100 of them, and nothing is undone."""
    counted = Counted()
    learner = learner_of(counted, **REGRESSION)
    runs = drive(learner, Examples.concatenate([line(600, 1), line(800, 2, slope=-1.0)]), 100)
    assert counted.turns == {"entered": 1, "changed": 1}
    assert learner.speculation.take_turns()[-1]["accepted"] <= 700
    assert not (runs.fates == ROLLED_BACK).any()
    learner.absorb(line(200, 4, slope=-1.0))
    assert learner.prequential.means()["champion"][1] < 5
