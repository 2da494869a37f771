"""A model that was pre-trained elsewhere serves first, is what training begins from, and stays the frozen one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.errors import ConfigurationError, RoundFailedError
from service.learner.admission import require_model
from service.learner.given import first_candidate, stand_on_weights
from service.learner.learner import Learner
from service.learner.state import capture, restore
from service.observer import Observer
from service.pretrain import pretrain
from service.replay import replay
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.train.fit import train_round
from tests.examples import separable, settings_of

ROWS = "a,b,label\n" + "".join(
    f"{number},{-number / 2},{'yes' if number > 0 else 'no'}\n" for number in np.sin(np.arange(120.0)).round(4)
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return weights of a linear network over two numbers that knows the rule: yes where their sum is positive."""
    path = tmp_path / "weights.safetensors"
    save_file({"layer.weight": torch.tensor([[-4.0, -4.0], [4.0, 4.0]]), "layer.bias": torch.zeros(2)}, path)
    return path


def own(weights: Path | None, **train: Any) -> Settings:
    """Return settings with that network."""
    model = {"module": "tests.networks:Linear", "weights": str(weights) if weights else None}
    settings = settings_of(train={"model": model, "portfolio": None, **train})
    require_model(settings)
    return settings


def test_given_weights_are_a_first_checkpoint_that_has_learnt_nothing(weights: Path) -> None:
    """It predicts at once, from numbers as they come, and nothing is compared with data that nobody has seen."""
    candidate = first_candidate(Learner(own(weights), Observer()))
    assert candidate is not None
    assert candidate.model.score(separable(200)).errors.mean() < 0.02
    assert (candidate.follows, candidate.given.data, candidate.given.trained_until_ms) == ({}, (), 0)
    assert candidate.reference.rows == 0
    assert first_candidate(Learner(own(None), Observer())) is None


def test_rounds_go_on_from_the_given_weights(weights: Path) -> None:
    """They are champion, frozen, anchor and every challenger's beginning; the first round needs the gate."""
    learner = Learner(own(weights), Observer())
    assert stand_on_weights(learner, "000000-aaaaaaaa") == "000000-aaaaaaaa"
    assert learner.roles.ids() == {"champion": "000000-aaaaaaaa", "previous": None, "frozen": "000000-aaaaaaaa"}
    learner.absorb(separable(300))
    assert not [key for key in learner.drift_monitor.scores() if key[1] == "psi"]
    given = learner.begin_round("new_events", 0.0)
    assert given.parent == "000000-aaaaaaaa"
    assert len(given.anchor) == 1
    for begun in (*given.anchor, given.challengers[0].weights or {}):
        np.testing.assert_array_equal(begun["layer.weight"], [[-4, -4], [4, 4]])
    decision, _ = learner.conclude(train_round(given))
    assert decision.reason != "first_checkpoint"


def test_a_restart_goes_on_with_the_same_network_and_optimiser(weights: Path) -> None:
    """The state holds the lineage and its moments, and names the given checkpoint; the next rounds are the same."""
    learner = Learner(own(weights), Observer())
    stand_on_weights(learner, "000000-aaaaaaaa")
    learner.absorb(separable(300))
    learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    arrays, meta = capture(learner)
    again = Learner(learner.settings, Observer())
    restore(again, arrays, json.loads(json.dumps(meta)), lambda _: learner.roles.champion)
    for one in (learner, again):
        one.absorb(separable(100, seed=1))
    first, second = (train_round(one.begin_round("new_events", 1.0)).trained[0] for one in (learner, again))
    assert first.weights.keys() == {"layer.weight", "layer.bias"}
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name])


def test_a_regression_as_it_comes_is_learnt_in_the_labels_units() -> None:
    """What was pre-trained elsewhere returns values, not deviations, and its rounds are measured by them."""
    tree = {
        "task": "regression",
        "schema": {"numeric": ["a", "b"]},
        "train": {
            "model": {"module": "tests.networks:Linear", "normalise": False},
            "first_steps": 400,
            "learning_rate": 0.1,
            "anchor": 0.0,
        },
    }
    learner = Learner(Settings.model_validate(tree), Observer())
    require_model(learner.settings)
    examples = separable(600)
    examples.targets[:] = 20 + 3 * examples.numbers[:, 0]
    learner.absorb(examples)
    _, candidate = learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    assert candidate is not None
    model = candidate.model
    assert (model.encoder.target_mean, model.encoder.target_scale) == (0.0, 1.0)
    assert model.score(examples).errors.mean() < 1.0
    assert abs(float(model.weights()["layer.bias"][0]) - 20) < 2


def test_pretrain_begins_from_the_given_weights(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With next to no learning rate what it publishes is next to what was given."""
    monkeypatch.chdir(tmp_path)
    settings = own(weights, learning_rate=1e-6, weight_decay=0.0)
    (tmp_path / "past.csv").write_text(ROWS)
    pretrain(settings, tmp_path / "past.csv")
    (entry,) = CheckpointStore(settings.store.path, settings.store.keep).entries()
    published = CheckpointStore(settings.store.path, settings.store.keep).read(entry.id)
    np.testing.assert_allclose(published.tensors["layer.weight"], [[-4, -4], [4, 4]], atol=1e-2)
    assert published.manifest.trigger == "pretrain"


def test_pretrain_of_a_network_that_fails_in_training_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the worker of a live trainer."""
    monkeypatch.chdir(tmp_path)
    model = {"module": "tests.networks:Moody", "arguments": {"fails": "index"}}
    (tmp_path / "past.csv").write_text(ROWS)
    with pytest.raises(RoundFailedError, match=r"^IndexError: [^\n]*$"):
        pretrain(settings_of(train={"model": model, "portfolio": None}), tmp_path / "past.csv")


def test_replay_begins_from_the_given_weights(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a live trainer would: no event is guessed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(ROWS)
    result = replay(own(weights), tmp_path / "a.csv")
    assert result["pretrained"] == "000000"
    assert result["accuracy"]["frozen"] == 1.0


def test_a_strategy_that_does_not_fit_is_refused_at_the_start(weights: Path) -> None:
    """Not in the first round."""
    with pytest.raises(ConfigurationError, match=r"train\.strategy\.layers: 'body\.\*' matches no parameter"):
        own(weights, strategy={"layers": ["body.*"]})
    with pytest.raises(ConfigurationError, match=r"train\.strategy\.layers: 'body\.\*' matches no parameter"):
        require_model(settings_of(train={"strategy": {"layers": ["body.*"]}}))
