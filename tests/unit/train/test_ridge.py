"""Ridge members: least squares over all events so far, faded, from sums that a round only adds to."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.learner.learner import Learner
from service.records import Examples
from service.train.fit import train_round
from service.train.ridge import PENALTY, SHARPNESS, WIDEST
from service.train.round import Round, Trained
from tests.examples import learner_of, separable


def ridge(**recipe: Any) -> dict[str, Any]:
    """Return the settings of a portfolio of one ridge regression."""
    return {"portfolio": [{"kind": "ridge", "window_events": 400} | recipe]}


def round_after(learner: Learner, arrived: Examples) -> tuple[Round, Trained]:
    """Return the next round on events that have arrived, and what became of its only challenger."""
    learner.absorb(arrived)
    given = learner.begin_round("new_events", 0.0)
    outcome = train_round(given)
    _, candidate = learner.conclude(outcome)
    if candidate is not None:
        learner.adopt(candidate, f"{given.number:06d}-00000000")
    return given, outcome.trained[0]


def weights_of(trained: Trained) -> np.ndarray[Any, Any]:
    """Return the weights of features and constant [width, labels]."""
    return np.concatenate([trained.weights["layers.0.numbers"], trained.weights["layers.0.bias"]])


def test_round_by_round_it_is_least_squares_over_all_faded() -> None:
    """Two rounds come to what solving once over every event so far does, each faded by its age."""
    learner = learner_of(train=ridge() | {"stopping_share": 0.0}, window={"events": 400})
    _, first = round_after(learner, separable(300))
    given, second = round_after(learner, separable(50, seed=1))  # too few for scales to be taken anew
    window = given.window  # all that is learnable of both
    features = np.column_stack([(window.numbers - given.encoder.means) / given.encoder.scales, np.ones(len(window))])
    fade = (1 - 1 / 400) ** np.arange(len(window) - 1, -1, -1)
    wanted = np.column_stack([window.targets == 0, window.targets == 1])
    gram = (features * fade[:, None]).T @ features + PENALTY * np.eye(3)
    solved = np.linalg.solve(gram, (features * fade[:, None]).T @ wanted) * SHARPNESS
    assert weights_of(second) == pytest.approx(solved, abs=1e-4)
    assert np.abs(weights_of(first) - solved).max() > 1e-3


@pytest.mark.parametrize("since_jump", [False, True])
def test_at_a_jump_it_forgets_if_it_is_to(*, since_jump: bool) -> None:
    """After the labels have turned round, on 100 events since: one that forgets is right, one that does not is not."""
    learner = learner_of(train=ridge(since_jump=since_jump, window_events=100_000), window={"events": 2_000})
    round_after(learner, separable(1_500))
    learner.absorb(separable(100, seed=1, flipped=True))
    given = learner.begin_round("new_events", 0.0)
    outcome = train_round(replace(given, since_jump=given.fresh))
    learner.conclude(outcome)
    assert learner.portfolio.model is not None
    missed = learner.portfolio.model.score(separable(200, seed=2, flipped=True)).errors.mean()
    assert (missed < 0.1) == since_jump


def test_very_many_features_are_folded() -> None:
    """Its sums stay small, whatever the number of features; what it has learnt holds for each of them."""
    names = [f"x{index}" for index in range(3 * WIDEST)]
    learner = learner_of(schema={"numeric": names, "labels": ["no", "yes"]}, train=ridge(), window={"events": 1_500})
    random = np.random.default_rng(0)

    def some(rows: int) -> Examples:
        numbers = random.normal(size=(rows, len(names)))
        told = replace(separable(rows, seed=int(random.integers(1_000))), numbers=numbers)
        return replace(told, targets=(numbers[:, :5].sum(axis=1) > 0).astype(np.float64))

    _, first = round_after(learner, some(1_000))
    _, second = round_after(learner, some(500))
    assert first.moments["gram"].shape == second.moments["gram"].shape == (WIDEST, WIDEST)
    assert weights_of(second).shape == (len(names) + 1, 2)
    assert learner.roles.champion is not None
    assert learner.roles.champion.model.score(some(300)).errors.mean() < 0.45
