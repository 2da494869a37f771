"""The accelerator on which rounds of a user's own network may be trained: is it there, and what it does differently."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable

import torch

from service.errors import ConfigurationError, DeviceMissingError
from service.model.trial import sample_encoder
from service.settings import Settings

Beat = Callable[[], None]

TRIAL_SECONDS = 120.0
"""Importing torch and starting a device, both from a cold disk, take long."""

NOWHERE = ("meta", "lazy", "privateuseone")
"""Torch knows these too, but nothing can be trained there."""

MISSING = 3
"""The exit code of a trial that found no such device."""

TOLD_SENTENCES = 3
"""Of what torch says when memory is short: how much was wanted, and how much there is; the rest is advice."""


def require_device(settings: Settings) -> None:
    """Raise ConfigurationError, in one line, unless rounds can be trained on the device that the settings name.

    The module is tried on it, forward and backward, in a process of its own: what a device costs a process in memory
    is given back only when that ends, and the trainer itself has no use for it. DeviceMissingError where there is none.
    """
    train = settings.train
    if not train.on_accelerator:
        return
    try:
        known = torch.device(train.device).type not in NOWHERE
    except RuntimeError:
        known = False
    if not known:
        raise ConfigurationError(
            f"train.device: torch {torch.__version__} knows no device {train.device}; try cpu, cuda, cuda:1, mps or xpu"
        )
    command = [sys.executable, "-m", "service.train", "--try-device", train.device, "--module", f"{train.model.module}"]
    encoder = json.dumps(sample_encoder(settings).to_json())
    try:
        tried = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, input=encoder, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeviceMissingError(f"train.device: {train.device} gave no answer within {TRIAL_SECONDS:g} s") from None
    if tried.returncode == 0:
        return
    said = tried.stdout.strip().splitlines()
    problem = said[-1] if said else f"trying {train.device} ended with exit code {tried.returncode}"
    raise (DeviceMissingError if tried.returncode == MISSING else ConfigurationError)(f"train.device: {problem}")


def start_device(name: str) -> None:
    """Have torch load what a device needs; what is wrong with it, the first round will tell."""
    try:
        torch.ones(1, device=name).item()
    except Exception:  # noqa: BLE001 - each kind of device has errors of its own
        return


def seed_device(device: torch.device, seed: int) -> None:
    """Have chance on the processor, and on the device, begin from a seed."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # the other one loads much that is not needed here
    else:
        torch.manual_seed(seed)


def beat_of(device: torch.device, beat: Beat) -> Beat:
    """Return what is to be called at every step: steps are only queued on an accelerator, so it waits for them."""
    if device.type == "cpu":
        return beat

    def waiting() -> None:
        torch.accelerator.synchronize(device)
        beat()

    return waiting


def release(device: torch.device) -> None:
    """Give the device's memory back that no tensor needs any more."""
    gc.collect()
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()


def shortage(device: torch.device, error: torch.OutOfMemoryError) -> str:
    """Return in one line what was lacking, and what helps."""
    words = ". ".join(" ".join(str(error).split()).split(". ")[:TOLD_SENTENCES])
    return f"{device} has too little memory for this round ({words}); a smaller train.batch_size takes less"
