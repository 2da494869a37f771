"""A network of the user's own: what its factory is told, and every way in which it can be wrong, in one line each."""

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.errors import ConfigurationError
from service.model.custom import build, inputs_of, trust
from service.model.ensemble import Shape, build_network
from service.model.learned import LearnedModel
from service.model.members import Separate
from service.model.trial import given_weights, require_module, sample_encoder
from service.settings import Settings

SCHEMA = {
    "numeric": ["n"],
    "boolean": ["b"],
    "vector": {"v": 4, "w": 3},
    "categorical": ["c"],
    "nullable": ["n", "w"],
    "labels": ["no", "yes"],
}


def settings_of(module: str, task: str = "binary", **model: Any) -> Settings:
    """Return settings with a module of the user's own."""
    schema = SCHEMA if task == "binary" else SCHEMA | {"labels": []}
    tree = {"task": task, "schema": schema, "train": {"model": {"module": module, "max_categories": 10, **model}}}
    return Settings.model_validate(tree)


def refusal(settings: Settings) -> str:
    """Return the one line that a configured network is refused with."""
    with pytest.raises(ConfigurationError) as caught:
        require_module(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_factory_is_told_what_stands_in_each_column() -> None:
    """Names, places of vectors, flags of what may be missing, and room for every category there can be."""
    inputs = inputs_of(sample_encoder(settings_of("tests.networks:Linear")))
    assert (inputs.numbers, inputs.width, inputs.nullable) == (("n", "b"), 9, ("n", "w"))
    assert inputs.vectors == {"v": slice(2, 6), "w": slice(6, 9)}
    assert inputs.categories == {"c": 12}
    assert (inputs.task, inputs.outputs) == ("binary", 2)
    assert inputs_of(sample_encoder(settings_of("tests.networks:Linear", "regression"))).outputs == 1


@pytest.mark.parametrize("name", ["Linear", "Recurrent"])
@pytest.mark.parametrize(("task", "members"), [("binary", 1), ("binary", 2), ("multiclass", 1), ("regression", 1)])
def test_a_right_network_is_admitted_and_serves(name: str, task: str, members: int) -> None:
    """It is tried, becomes a model, and comes out of its parts the same to the bit, running statistics included."""
    settings = settings_of(f"tests.networks:{name}", task)
    state = torch.random.get_rng_state()
    require_module(settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    encoder = sample_encoder(settings)
    model = LearnedModel(encoder, build_network(encoder, [Shape(hidden=True, bins=False)] * members))
    again = LearnedModel.from_parts(model.weights(), encoder.to_json())
    numbers = np.random.default_rng(0).normal(size=(5, 9))
    codes = np.array([[0], [1], [2], [11], [12]])
    assert (again.predict(numbers, codes) == model.predict(numbers, codes)).all()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("no_such_module:network", ("no_such_module cannot be imported", "No module named")),
        ("tests.broken_network:network", ("tests.broken_network cannot be imported", "PYTHONPATH")),
        ("tests.networks:Missing", ("tests.networks has no Missing",)),
        ("tests.networks:NOT_CALLABLE", ("is an int, which cannot be called",)),
        ("tests.networks:nothing", ("returned a dict", "torch.nn.Module")),
        ("tests.networks:broken", ("raised RuntimeError: no such backbone;",)),
        ("tests.networks:bare", ("no parameters",)),
        ("tests.networks:double", ("layer.weight is torch.float64",)),
        ("tests.networks:Tied", ("layer.weight and same.weight are one parameter",)),
        ("tests.networks:wide", ("shape [1, 3] for 1 events", "[1, 2] is wanted")),
        ("tests.networks:Squeezed", ("shape [2] for 1 events",)),
        ("tests.networks:Detached", ("cannot be trained",)),
    ],
)
def test_a_wrong_network_is_refused_in_one_line_that_names_the_setting(module: str, words: tuple[str, ...]) -> None:
    """Before any event is read, and with what to look at."""
    line = refusal(settings_of(module))
    assert line.startswith("train.model.module: ")
    assert all(word in line for word in words), line


def test_a_module_is_found_in_the_folder_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `python file.py`; an installed program does not look there by itself, and nothing there goes first."""
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network_in_folder.py").write_text("from tests.networks import Linear as Mine\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('not the one that is meant')\n")
    require_module(settings_of("network_in_folder:Mine"))
    assert sys.path[-1] == str(tmp_path)
    assert sys.modules.pop("network_in_folder").__file__ == str(tmp_path / "network_in_folder.py")


def test_wrong_arguments_are_named_as_the_factory_names_them() -> None:
    """Python says which argument it was."""
    line = refusal(settings_of("tests.networks:Linear", arguments={"depth": 3}))
    assert "unexpected keyword argument 'depth'" in line
    assert "train.model.arguments" in line


def test_no_code_is_run_that_the_configuration_does_not_name() -> None:
    """An encoder is a checkpoint's word: what it asks for is imported only where the configuration asks for it too."""
    encoder = sample_encoder(settings_of("os:system"))
    with pytest.raises(ConfigurationError, match="os:system made this model, and this configuration does not name it"):
        LearnedModel.from_parts({}, encoder.to_json())


def test_numbers_come_as_they_are_where_weights_are_given() -> None:
    """What was pre-trained elsewhere knows no running statistics; all else sees numbers of about unit size."""
    numbers = np.array([[100.0, 1, 5, 5, 5, 5, 1e12, 0, 0]])
    codes = np.zeros((1, 1), dtype=np.int64)

    def seen(**model: Any) -> list[float]:
        encoder = sample_encoder(settings_of("tests.networks:Linear", **model))
        moved = replace(encoder, means=np.full(9, 5.0), scales=np.full(9, 2.0))
        return [float(one) for one in moved.inputs(numbers, codes)[0][0]]

    assert seen() == [10.0, -2, 0, 0, 0, 0, 10, -2.5, -2.5]
    assert seen(normalise=False) == [100, 1, 5, 5, 5, 5, 1e9, 0, 0]
    assert seen(weights="w.safetensors") == seen(normalise=False)
    assert seen(weights="w.safetensors", normalise=True) == seen()
    encoder = sample_encoder(settings_of("tests.networks:Linear", weights="w.safetensors"))
    told = encoder.to_json()["network"]
    assert (told["normalise"], "weights" in told) == (False, False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file with weights of the linear network."""
    trust("tests.networks:Linear")
    path = tmp_path / "weights.safetensors"
    save_file(build(sample_encoder(settings_of("tests.networks:Linear"))).state_dict(), path)
    return path


def test_given_weights_are_those_of_the_file(weights: Path) -> None:
    """Half precision becomes single; nothing is left to chance."""
    settings = settings_of("tests.networks:Linear", weights=str(weights))
    require_module(settings)
    first = given_weights(sample_encoder(settings), weights)
    network = build(sample_encoder(settings))
    save_file({name: tensor.half() for name, tensor in network.state_dict().items()}, weights)
    second = given_weights(sample_encoder(settings), weights)
    for name, array in Separate([network]).members()[0].items():
        assert second[name].dtype == np.float32
        np.testing.assert_allclose(second[name], array, atol=1e-3)
        assert not np.array_equal(first[name], second[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extra": torch.zeros(1)}, "has, without a place for it, extra"),
        ({"layer.bias": None}, "lacks layer.bias"),
        ({"layer.bias": torch.zeros(3)}, "layer.bias has shape [3], the network's has [2]"),
        ({"layer.bias": torch.tensor([0.0, torch.nan])}, "layer.bias holds NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Path, change: dict[str, Any], words: str) -> None:
    """The line names the file and the parameter."""
    own = dict(build(sample_encoder(settings_of("tests.networks:Linear"))).state_dict()) | change
    save_file({name: tensor for name, tensor in own.items() if tensor is not None}, weights)
    line = refusal(settings_of("tests.networks:Linear", weights=str(weights)))
    assert line.startswith(f"train.model.weights: {weights}")
    assert words in line


def test_a_weights_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Absent, or not safetensors: nothing is ever unpickled."""
    path = tmp_path / "weights.pt"
    assert "no such file" in refusal(settings_of("tests.networks:Linear", weights=str(path)))
    torch.save({"layer.bias": torch.zeros(2)}, path)
    assert "is no readable safetensors file" in refusal(settings_of("tests.networks:Linear", weights=str(path)))


def test_weights_that_may_not_be_read_are_not_said_to_be_absent(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors itself writes files that only their owner can read; a container's user is commonly another."""

    def locked(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "open", locked)
    assert "Permission denied" in refusal(settings_of("tests.networks:Linear", weights=str(weights)))


def test_given_weights_need_their_labels(weights: Path) -> None:
    """They serve before any event could tell them; who only serves needs no file at all."""
    settings = settings_of("tests.networks:Linear", "multiclass", weights=str(weights))
    assert refusal(settings).startswith("train.model.weights: ")
    assert "schema.labels" in refusal(settings)
    weights.unlink()
    require_module(settings, weights=False)
