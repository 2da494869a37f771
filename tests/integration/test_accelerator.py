"""Rounds on an accelerator: in this process and in the real worker, and what that does when the device lets it down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.errors import ConfigurationError, RoundFailedError
from service.learner.admission import require_model
from service.model.custom import trust
from service.model.learned import LearnedModel
from service.records import FloatArray
from service.settings import Worker
from service.train.fit import train_round
from service.train.round import Outcome, Round, write_round
from service.train.supervisor import TrainingWorker
from tests.examples import learner_of, separable, settings_of
from tests.workers import Restarts, await_ready

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")

ABSENT = "cuda:63"
MOODY = "tests.networks:Moody"
MIB = 2**20


def a_round(device: str, module: str, arguments: dict[str, Any] | None = None, **train: Any) -> Round:
    """Return the first round of a network of a user's own."""
    trust(module)
    model = {"module": module, "arguments": arguments or {}}
    tree = {"first_steps": 40, "portfolio": None, "device": device, "model": model, **train}
    learner = learner_of(train=tree)
    learner.absorb(separable(200))
    return learner.begin_round("first_events", 0.0)


def on(device: str, given: Round) -> Round:
    """Return the same round for another device."""
    return replace(given, settings=given.settings.model_copy(update={"device": device}))


def after(given: Round, outcome: Outcome) -> Round:
    """Return a round that goes on where one has ended."""
    (one,), (trained,) = given.challengers, outcome.trained
    return replace(given, challengers=(replace(one, weights=trained.weights, moments=trained.moments),))


def answers(given: Round, outcome: Outcome) -> FloatArray:
    """Return what the trained network answers, on the processor."""
    model = LearnedModel.of_members(given.encoder, [outcome.trained[0].weights])
    events = separable(100, seed=1)
    return model.predict(events.numbers, events.codes)


@pytest.fixture
def restarts() -> Restarts:
    """Return an observer of the worker."""
    return Restarts()


@pytest.fixture
def worker(restarts: Restarts) -> Iterator[TrainingWorker]:
    """Return a worker that is ready, and stop it afterwards."""
    device = "cuda" if torch.cuda.is_available() else ABSENT
    settings = Worker(heartbeat_seconds=60.0, backoff_seconds=0.01, niceness=0)
    made = TrainingWorker(settings, restarts, MOODY, device=device)
    made.start()
    await_ready(made)
    yield made
    made.stop()


def failure(worker: TrainingWorker, directory: Path, given: Round) -> RoundFailedError:
    """Return how a round failed in the worker."""
    write_round(directory, given)
    with pytest.raises(RoundFailedError) as caught:
        worker.run(directory)
    assert "\n" not in str(caught.value)
    return caught.value


def succeeds(worker: TrainingWorker, directory: Path, device: str) -> None:
    """Check that the worker trains a round."""
    write_round(directory, a_round(device, MOODY))
    outcome = worker.run(directory)
    assert outcome.training_loss < 0.6
    assert device == "cpu" or outcome.cpu_seconds >= outcome.seconds > 0


def test_a_worker_that_was_short_of_memory_lives_on(worker: TrainingWorker, restarts: Restarts, tmp_path: Path) -> None:
    """It says what was lacking and trains the next round."""
    pid = worker.pid
    error = failure(worker, tmp_path / "1", a_round("cpu", MOODY, {"fails": "memory"}))
    assert error.cause == "error"
    assert "cpu has too little memory for this round (out of memory. Tried to allocate 4 TiB. There" in str(error)
    succeeds(worker, tmp_path / "2", "cpu")
    assert (worker.pid, restarts.causes) == (pid, [])


def test_a_worker_whose_device_is_gone_is_started_again(
    worker: TrainingWorker, restarts: Restarts, tmp_path: Path
) -> None:
    """A device may come back only to a new process; the round says what was wrong, and a later one is trained."""
    pid = worker.pid
    error = failure(worker, tmp_path / "1", a_round(ABSENT, MOODY))
    assert error.cause == "crash"
    assert restarts.causes == ["crash"]
    succeeds(worker, tmp_path / "2", "cpu")
    assert worker.pid != pid


@on_cuda
@pytest.mark.parametrize("arguments", [{"dropout": 0.0}, {"dropout": 0.0, "width": 256}], ids=["narrow", "wide"])
@pytest.mark.parametrize("strategy", ["full", "head"])
def test_a_round_on_cuda_comes_to_what_the_processor_comes_to(arguments: dict[str, Any], strategy: str) -> None:
    """The same network but for rounding, on the processor; either device goes on where the other has ended."""
    here = a_round("cpu", "tests.networks:TwoLayers", arguments, strategy=strategy, averaging=0.5)
    there = on("cuda", here)
    by_processor, by_cuda = train_round(here), train_round(there)
    assert np.isfinite(by_cuda.training_loss)
    assert by_cuda.training_loss == pytest.approx(by_processor.training_loss, abs=0.01)
    np.testing.assert_allclose(answers(there, by_cuda), answers(here, by_processor), atol=0.01)
    back, on_again = train_round(after(here, by_cuda)), train_round(after(there, by_processor))
    np.testing.assert_allclose(answers(here, back), answers(there, on_again), atol=0.01)


@on_cuda
def test_chance_on_cuda_is_seeded_with_the_round() -> None:
    """Dropout falls the same way, whatever was drawn before."""
    given = a_round("cuda", "tests.networks:TwoLayers", {"dropout": 0.5})
    first = train_round(given)
    torch.rand(1_000, device="cuda")
    np.testing.assert_allclose(answers(given, train_round(given)), answers(given, first), atol=1e-4)


@on_cuda
def test_a_device_that_is_too_small_is_given_back_what_the_round_had() -> None:
    """The gigabyte that the failed round had is not in torch's cache either."""
    with pytest.raises(RoundFailedError, match=r"cuda has too little memory for this round \(CUDA out of memory\."):
        train_round(a_round("cuda", MOODY, {"fails": "memory"}))
    assert torch.cuda.memory_reserved() < 512 * MIB


@on_cuda
def test_a_worker_that_was_short_of_a_devices_memory_lives_on(
    worker: TrainingWorker, restarts: Restarts, tmp_path: Path
) -> None:
    """As on the processor."""
    pid = worker.pid
    succeeds(worker, tmp_path / "1", "cuda")
    error = failure(worker, tmp_path / "2", a_round("cuda", MOODY, {"fails": "memory"}))
    assert error.cause == "error"
    assert "cuda has too little memory for this round" in str(error)
    succeeds(worker, tmp_path / "3", "cuda")
    assert (worker.pid, restarts.causes) == (pid, [])


@on_cuda
def test_a_device_that_an_error_has_spoilt_is_new_to_a_new_worker(
    worker: TrainingWorker, restarts: Restarts, tmp_path: Path
) -> None:
    """After a false index nothing works any more in a process that uses CUDA."""
    pid = worker.pid
    assert failure(worker, tmp_path / "1", a_round("cuda", MOODY, {"fails": "index"})).cause == "crash"
    succeeds(worker, tmp_path / "2", "cuda")
    assert worker.pid != pid
    assert restarts.causes == ["crash"]


@on_cuda
def test_a_network_is_tried_on_cuda_before_anything_begins() -> None:
    """One that works may begin; one that leaves a tensor behind is refused, with what torch says of it."""
    begun = torch.cuda.is_initialized()

    def settings(module: str) -> dict[str, Any]:
        return {"device": "cuda", "portfolio": None, "model": {"module": f"tests.networks:{module}"}}

    require_model(settings_of(train=settings("TwoLayers")))
    with pytest.raises(ConfigurationError, match=r"^train\.device: on cuda, train\.model\.module: .* same device"):
        require_model(settings_of(train=settings("Homebound")))
    assert torch.cuda.is_initialized() == begun
