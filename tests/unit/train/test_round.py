"""A round is a value: its directory holds all of it."""

from pathlib import Path

import numpy as np
import pytest

from service.train.fit import train_round
from service.train.round import read_outcome, read_round, write_outcome, write_round
from tests.examples import learner_of, separable


def test_a_directory_gives_the_same_round_and_the_same_outcome(tmp_path: Path) -> None:
    """Re-run from its directory, a round brings the same weights to the bit: training is a pure function."""
    learner = learner_of()
    learner.absorb(separable(150))
    given = learner.begin_round("new_events", 0.0)
    write_round(tmp_path, given)
    again = read_round(tmp_path)
    first, second = train_round(given), train_round(again)
    assert again.trigger == "new_events"
    assert again.encoder.to_json() == given.encoder.to_json()
    for name, weights in first.trained[0].weights.items():
        assert (weights == second.trained[0].weights[name]).all()


def test_an_outcome_survives_its_directory(tmp_path: Path) -> None:
    """Weights, moments and losses come back as they were."""
    learner = learner_of()
    learner.absorb(separable(150))
    outcome = train_round(learner.begin_round("new_events", 0.0))
    write_outcome(tmp_path, outcome)
    again = read_outcome(tmp_path)
    ours, theirs = outcome.trained[0], again.trained[0]
    assert (ours.training_loss, ours.steps, ours.stopping_loss) == (
        theirs.training_loss,
        theirs.steps,
        theirs.stopping_loss,
    )
    assert all((ours.moments[name] == theirs.moments[name]).all() for name in ours.moments)


def test_an_unfinished_directory_is_not_a_round(tmp_path: Path) -> None:
    """Without round.json, which comes last, nothing is read."""
    (tmp_path / "inputs.safetensors").write_bytes(b"half")
    with pytest.raises(OSError, match=r"round\.json"):
        read_round(tmp_path)


def test_the_window_in_a_round_does_not_change_afterwards() -> None:
    """Events go on arriving while the round is trained."""
    learner = learner_of()
    learner.absorb(separable(150))
    given = learner.begin_round("new_events", 0.0)
    before = given.window.numbers.copy()
    learner.absorb(separable(500, seed=1))
    assert np.array_equal(given.window.numbers, before)
