"""Rounds on an accelerator, as far as a processor shows: what is moved, what comes back, and what is refused."""

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.fx.experimental import _config as tracing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from service.errors import ConfigurationError, DeviceMissingError, RoundFailedError
from service.learner.admission import require_model
from service.model.custom import trust
from service.model.trial import sample_encoder, try_on
from service.train import __main__ as by_hand
from service.train import device as device_module
from service.train import fit
from service.train.device import shortage
from service.train.fit import train_round
from service.train.round import Round, write_round
from service.train.worker import cost
from tests.examples import learner_of, separable, settings_of

ABSENT = "cuda:63"
"""No machine has so many."""


def a_round(device: str = "cpu", **train: Any) -> Round:
    """Return the first round of a network of a user's own, with all that training can have."""
    module = train.pop("module", "tests.networks:Linear")
    trust(module)
    usual = {"first_steps": 12, "stopping_share": 0.0, "portfolio": None, "model": {"module": module}}
    learner = learner_of(train=usual | {"device": device, **train})
    learner.absorb(separable(200))
    return learner.begin_round("first_events", 0.0)


def following(given: Round) -> Round:
    """Return the round after one, whose challengers go on from its weights and moments, pulled towards them."""
    trained = train_round(given).trained
    challengers = tuple(
        replace(one, weights=after.weights, moments=after.moments)
        for one, after in zip(given.challengers, trained, strict=True)
    )
    return replace(given, challengers=challengers, anchor=tuple(one.weights for one in trained))


class OneDevice(TorchDispatchMode):
    """Lets no operation take tensors of several devices: `meta` is not as strict as others are."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation."""
        del types
        kinds = {one.device.type for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor) and one.dim()}
        if len(kinds) > 1:
            raise RuntimeError(f"{func} takes tensors of more than one device")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.Size]]:
    """Let a round come to its end on torch's device `meta`, which checks all but computes nothing.

    What it brings back is 0, and its shapes are in the list. An operation on tensors of which some were left on the
    processor fails, as on any other device.
    """
    brought: list[torch.Size] = []
    back: Callable[..., torch.Tensor] = torch.Tensor.cpu

    def cpu(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "meta":
            return back(tensor)
        brought.append(tensor.shape)
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda _: True)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 0.0)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: [0.0] * len(tensor))
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda _: None)
    with tracing.patch(meta_nonzero_assume_all_nonzero=True), OneDevice():
        yield brought


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"averaging": 0.9, "distillation": 0.5},
        {"stopping_share": 0.3, "first_steps": 40, "steps": 40},
        {"strategy": "head", "module": "tests.networks:TwoLayers"},
        {"portfolio": [{"learning_rate": 0.01}, {"window_events": 100}]},
    ],
    ids=["plain", "averaged", "stopping", "head", "two"],
)
def test_all_that_a_round_computes_with_is_on_the_device(nowhere: list[torch.Size], train: dict[str, Any]) -> None:
    """Weights, moments, anchor, average, former answers, batches and the stopping split: nothing stays behind."""
    given = following(a_round(**train))
    assert nowhere == []
    settings = given.settings.model_copy(update={"device": "meta"})
    outcome = train_round(replace(given, settings=settings))
    assert nowhere
    for before, after in zip(given.challengers, outcome.trained, strict=True):
        assert before.weights is not None
        assert {name: array.shape for name, array in after.weights.items()} == {
            name: array.shape for name, array in before.weights.items()
        }
        assert after.moments.keys() == before.moments.keys()


def test_a_network_that_keeps_a_tensor_behind_fails_there(nowhere: list[torch.Size]) -> None:
    """The test above would see it: what is no parameter and no buffer is not moved."""
    del nowhere
    with pytest.raises(RuntimeError, match="device"):
        train_round(a_round("meta", module="tests.networks:Homebound"))


def test_a_device_of_the_processor_changes_nothing() -> None:
    """`cpu:0` is `cpu` by another name, to the bit, for the built-in network too."""
    for train in ({}, {"model": {"hidden": [8]}}):
        here, there = (train_round(a_round(name, **train)).trained[0] for name in ("cpu", "cpu:0"))
        for name, array in here.weights.items():
            np.testing.assert_array_equal(there.weights[name], array)


@pytest.mark.parametrize("name", ["", "GPU", "cuda:x", "cuda:", "cuda:1000", "/dev/nvidia0"])
def test_what_is_no_device_is_refused_as_it_is_read(name: str) -> None:
    """A kind in small letters, and perhaps which of them."""
    with pytest.raises(ValidationError, match=r"train\.device"):
        settings_of(train={"device": name, "model": {"module": "tests.networks:Linear"}})


def test_the_built_in_network_has_no_use_for_a_device() -> None:
    """It says whose rounds may be trained on one."""
    with pytest.raises(ValidationError, match=r"train\.device is for a network of your own"):
        settings_of(train={"device": "cuda"})


def refusal(device: str, module: str = "tests.networks:Linear") -> ConfigurationError:
    """Return why a trainer would not start."""
    with pytest.raises(ConfigurationError, match=r"^train\.device: [^\n]*$") as caught:
        require_model(settings_of(train={"device": device, "portfolio": None, "model": {"module": module}}))
    return caught.value


@pytest.mark.parametrize("device", ["gpu", "meta", "privateuseone"])
def test_a_device_that_torch_does_not_know_is_named(device: str) -> None:
    """Nobody has a `gpu`, nor anything to train on in what torch keeps for itself: it is wrong on every machine."""
    error = refusal(device)
    assert f"knows no device {device}; try cpu, cuda" in str(error)
    assert not isinstance(error, DeviceMissingError)


def test_a_device_that_is_not_there_is_told_without_touching_it_here() -> None:
    """Torch's own reason in one line; this process has not begun to use CUDA, which would cost it memory for good."""
    error = refusal(ABSENT)
    assert isinstance(error, DeviceMissingError)
    assert f"{ABSENT} cannot be used here (" in str(error)
    assert torch.cuda.is_available() or not torch.cuda.is_initialized()


def test_a_trial_that_ends_without_a_word_is_told_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver can take a process down."""
    monkeypatch.setattr(device_module.sys, "executable", "false")
    assert str(refusal("cuda")) == "train.device: trying cuda ended with exit code 1"


def test_a_trial_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver can also never answer."""
    monkeypatch.setattr(device_module, "TRIAL_SECONDS", 0.01)
    assert str(refusal("cuda")) == "train.device: cuda gave no answer within 0.01 s"


def test_a_network_is_tried_where_it_will_be_trained() -> None:
    """The trial's own process goes this way; on the processor it ends well."""
    settings = settings_of(train={"portfolio": None, "model": {"module": "tests.networks:Linear"}})
    trust("tests.networks:Linear")
    try_on(sample_encoder(settings), "cpu:0")
    with pytest.raises(DeviceMissingError, match="meta cannot be used here"):
        try_on(sample_encoder(settings), "meta")


def test_a_round_may_be_trained_again_on_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was trained on an accelerator can be looked into on a machine without one."""
    module = "tests.networks:Linear"
    write_round(tmp_path, a_round(ABSENT))
    monkeypatch.setattr("sys.argv", ["service.train", str(tmp_path), "--module", module, "--device", "cpu"])
    assert by_hand.main() == 0
    assert json.loads(capsys.readouterr().out)["challengers"][0]["steps"] == 12


def test_too_little_memory_fails_the_round_and_leaves_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time that torch is asked to give memory back, what the round had there is nobody's."""
    built: list[weakref.ref[nn.Module]] = []
    alive: list[int] = []

    class Watched(nn.Linear):
        def forward(self, numbers: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. GPU 0 has 8 GiB. Try this")
            return super().forward(numbers)

    def build(*_: object) -> nn.Module:
        made = Watched(2, 2)
        built.append(weakref.ref(made))
        return made

    given = a_round()
    monkeypatch.setattr("service.model.custom.build", build)
    gc.disable()
    try:
        monkeypatch.setattr(fit, "release", lambda _: alive.extend(one() is not None for one in built))
        with pytest.raises(RoundFailedError, match=r"cpu has too little memory for this round \(CUDA out") as caught:
            train_round(given)
    finally:
        gc.enable()
    assert caught.value.cause == "error"
    assert alive == [False]


def test_a_shortage_says_how_much_was_lacking_and_what_helps() -> None:
    """Torch's figures, without its advice, in one line."""
    error = torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\n GPU 0 has 1 GiB free. Set PYTORCH_X. See docs.")
    assert shortage(torch.device("cuda", 1), error) == (
        "cuda:1 has too little memory for this round (CUDA out of memory. Tried 2 GiB. GPU 0 has 1 GiB free); "
        "a smaller train.batch_size takes less"
    )


def test_an_accelerator_is_charged_by_the_clock() -> None:
    """The processor does little while it works, but it is taken up; without one, waiting costs nothing."""
    assert cost(0.2, 1.5, accelerated=True) == 1.5
    assert cost(2.0, 1.5, accelerated=True) == 2.0
    assert cost(0.2, 1.5, accelerated=False) == 0.2
