"""Which parameters a round trains, and what stays as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from service.errors import ConfigurationError
from service.learner.admission import require_model
from service.model.ensemble import build_network
from service.settings import Layers, Strategy
from service.train.fit import train_round
from service.train.strategy import frozen_parts, trained_parameters
from tests.examples import learner_of, separable

ENCODER = {"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias"}
HEAD = {"head.weight", "head.bias"}


class Small(nn.Module):
    """An encoder with running statistics and dropout, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.noise = nn.Dropout(0.5)
        self.scaled = nn.BatchNorm1d(4, affine=False)
        self.head = nn.Linear(4, 2)


def named(network: nn.Module) -> list[str]:
    """Return the names of a network's parameters."""
    return [name for name, _ in network.named_parameters()]


@pytest.mark.parametrize(
    ("strategy", "names"),
    [
        ("full", ENCODER | HEAD),
        ("head", HEAD),
        (Layers(layers=("head.*",)), HEAD),
        (Layers(layers=("*.1.*", "head.bias")), {"encoder.1.weight", "encoder.1.bias", "head.bias"}),
    ],
)
def test_a_strategy_names_parameters(strategy: Strategy, names: set[str]) -> None:
    """All, the last module that has any, or those that match a pattern."""
    assert trained_parameters(named(Small()), strategy) == names


def test_the_head_of_a_network_without_modules_is_all_it_has() -> None:
    """Parameters of the network's own belong together."""
    bare = nn.Module()
    bare.one, bare.two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    assert trained_parameters(named(bare), "head") == {"one", "two"}


def test_a_pattern_that_matches_nothing_is_refused_with_the_names_there_are() -> None:
    """A typing mistake must not freeze the network silently."""
    with pytest.raises(ConfigurationError, match=r"train\.strategy\.layers: 'hed\.\*' .*encoder\.0\.weight"):
        trained_parameters(named(Small()), Layers(layers=("head.*", "hed.*")))
    with pytest.raises(ConfigurationError, match="no parameters"):
        trained_parameters(named(nn.ReLU()), "full")


def test_frozen_parts_keep_their_statistics_and_drop_nothing() -> None:
    """What has parameters of which none is trained, and statistics without parameters; other dropout goes on."""
    network = Small()
    frozen = frozen_parts(network, HEAD)
    assert {id(part) for part in frozen} == {id(network.encoder), id(network.scaled), *map(id, network.encoder[:2])}
    assert frozen_parts(network, ENCODER | HEAD) == []
    assert frozen_parts(network, HEAD | {"encoder.0.weight"}) == [network.encoder[1], network.scaled]


@pytest.mark.parametrize("strategy", ["head", {"layers": ["layers.0.*"]}])
def test_a_round_moves_what_is_trained_and_nothing_else(strategy: object) -> None:
    """Frozen parameters are the same to the bit after a round, in every challenger."""
    several = [{"window_events": 100}, {"window_events": 200, "learning_rate": 1e-2}]
    learner = learner_of(train={"strategy": strategy, "portfolio": several, "steps": 5})
    learner.absorb(separable(300))
    learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    given = learner.begin_round("new_events", 0.0)
    names = trained_parameters(build_network(given.encoder).groups[0].members.names(), given.settings.strategy)
    for before, after in zip(given.challengers, train_round(given).trained, strict=True):
        assert before.weights is not None
        assert names < before.weights.keys()
        moved = {name for name in before.weights if not np.array_equal(before.weights[name], after.weights[name])}
        assert moved == names


@pytest.mark.parametrize(("strategy", "frozen"), [("full", set[str]()), ("head", {"recurrent", "norm", "temperature"})])
def test_a_network_of_the_users_own_is_trained_as_the_strategy_says(strategy: str, frozen: set[str]) -> None:
    """A recurrent one, with its running statistics: they move with what is trained, and stay with what is not."""
    own = {"module": "tests.networks:Recurrent"}
    schema = {"numeric": [], "vector": {"v": 2}, "labels": ["no", "yes"]}
    learner = learner_of(schema=schema, train={"strategy": strategy, "portfolio": None, "steps": 20, "model": own})
    require_model(learner.settings)
    learner.absorb(separable(300))
    learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    given = learner.begin_round("new_events", 0.0)
    (before,), (after,) = given.challengers, train_round(given).trained
    assert before.weights is not None
    moved = {name for name in before.weights if not np.array_equal(before.weights[name], after.weights[name])}
    assert moved == {name for name in before.weights if name.partition(".")[0] not in frozen}
