"""Tries a network of the user's own once, before anything depends on it, and reads the weights that it begins with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from service.errors import ConfigurationError, DeviceMissingError
from service.model import custom
from service.model.custom import SETTING, told
from service.model.encoder import Encoder
from service.settings import Settings

ROWS = 3
"""More than one, which running statistics need in training, and no likely width of anything."""

UNNAMED = {"binary": 2, "multiclass": 3, "regression": 0}
"""How many labels a network is tried with while the stream has not told them."""

NAMED = 6

Weights = dict[str, NDArray[Any]]


def require_module(settings: Settings, *, weights: bool = True) -> None:
    """Trust the module that the configuration names, and try it: forward, backward, and with its weights if any.

    Who only serves has no use for the file of ``weights``: they are in the checkpoints. Without a module nothing
    happens. Raises ConfigurationError, in one line that names the setting.
    """
    network = settings.train.model
    if network.module is None:
        return
    custom.trust(network.module)
    encoder = sample_encoder(settings)
    with torch.random.fork_rng(devices=[]):
        module = custom.build(encoder)
        _check_parameters(module, network.module)
        _check_answers(module, encoder)
    if weights and network.weights is not None:
        if settings.task != "regression" and not encoder.schema.labels:
            raise ConfigurationError(
                "train.model.weights: pre-trained weights serve before any event has come, so schema.labels must list "
                "the labels, in the order of the network's outputs"
            )
        _load(module, network.weights)


def try_on(encoder: Encoder, device: str) -> None:
    """Try the encoder's network on a device, forward and backward.

    Raises DeviceMissingError where there is no such device, ConfigurationError where the network does not work on it.
    """
    try:
        torch.ones(1, device=device).item()
    except Exception as error:
        problem = told(error).partition(". ")[0]
        raise DeviceMissingError(f"{device} cannot be used here ({problem})") from error
    module = custom.build(encoder)
    try:
        module.to(device)
    except Exception as error:
        raise ConfigurationError(f"the network cannot be moved to {device} ({told(error)})") from error
    try:
        _check_answers(module, encoder)
    except ConfigurationError as error:
        raise ConfigurationError(f"on {device}, {error}") from error


def given_weights(encoder: Encoder, path: Path) -> Weights:
    """Return the weights of a file as the encoder's network takes them; raises ConfigurationError if they don't fit."""
    module = custom.build(encoder)
    _load(module, path)
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def sample_encoder(settings: Settings) -> Encoder:
    """Return an encoder as it might be before the first event, with labels to stand for those that will come."""
    labels = settings.schema_.labels or tuple(map(str, range(UNNAMED[settings.task])))
    bare = Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=labels,
        categories=dict.fromkeys(settings.schema_.categorical, ()),
        means=np.zeros(0),
        scales=np.ones(0),
    )
    width = bare.columns().width
    return replace(bare, means=np.zeros(width), scales=np.ones(width))


def _check_parameters(module: nn.Module, reference: str) -> None:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    if not parameters:
        raise ConfigurationError(f"{SETTING}: the network of {reference} has no parameters; there is nothing to train")
    seen: dict[int, str] = {}
    for name, parameter in parameters.items():
        if isinstance(parameter, UninitializedParameter):
            raise ConfigurationError(f"{SETTING}: {name} has no shape yet; lazy modules must be told their widths")
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise ConfigurationError(
                f"{SETTING}: {name} is {parameter.dtype} on {parameter.device}; rounds train torch.float32 on the cpu"
            )
        if id(parameter) in seen:
            raise ConfigurationError(
                f"{SETTING}: {seen[id(parameter)]} and {name} are one parameter; tied weights are not supported"
            )
        seen[id(parameter)] = name
    for name, buffer in module.state_dict().items():
        if buffer.dtype == torch.bfloat16:
            raise ConfigurationError(f"{SETTING}: {name} is {buffer.dtype}, which a checkpoint cannot hold")


def _check_answers(module: nn.Module, encoder: Encoder) -> None:
    wanted = encoder.outputs
    for rows in (1, ROWS):
        with torch.inference_mode():
            out = _called(module.eval(), encoder, rows)
        _check_answer(out, rows, wanted)
        if not torch.isfinite(out).all():
            raise ConfigurationError(f"{SETTING}: the network gives NaN or infinity for ordinary numbers")
    out = _called(module.train(), encoder, ROWS)
    _check_answer(out, ROWS, wanted)
    try:
        out.sum().backward()
    except Exception as error:
        raise ConfigurationError(f"{SETTING}: the network cannot be trained ({told(error)})") from error
    if all(parameter.grad is None for parameter in module.parameters()):
        raise ConfigurationError(f"{SETTING}: no gradient reaches any parameter of the network")


def _called(module: nn.Module, encoder: Encoder, rows: int) -> Any:  # noqa: ANN401 - a user's network may return anything
    numbers = np.linspace(-1.0, 1.0, rows * len(encoder.means)).reshape(rows, -1)
    codes = np.zeros((rows, len(encoder.categories)), dtype=np.int64)
    device = next(module.parameters()).device
    try:
        return module(*(part.to(device) for part in encoder.inputs(numbers, codes)))
    except Exception as error:
        raise ConfigurationError(
            f"{SETTING}: forward(numbers [{rows}, {numbers.shape[1]}], missing [{rows}, "
            f"{len(encoder.nullable_numbers)}], codes [{rows}, {codes.shape[1]}]) raised {told(error)}"
        ) from error


def _check_answer(out: object, rows: int, wanted: int) -> None:
    what = f"a {type(out).__name__}"
    if isinstance(out, Tensor):
        if tuple(out.shape) == (rows, wanted) and out.dtype == torch.float32:
            return
        what = f"{out.dtype} of shape {list(out.shape)}"
    raise ConfigurationError(
        f"{SETTING}: forward returned {what} for {rows} events; torch.float32 of shape [{rows}, {wanted}] is wanted"
    )


def _load(module: nn.Module, path: Path) -> None:
    """Load a safetensors file into a network, as a whole; half precision becomes single."""
    try:
        path.open("rb").close()  # of a file that it may not read, safetensors says that it is not there
        tensors = load_file(path)
    except FileNotFoundError:
        raise ConfigurationError(f"train.model.weights: {path}: no such file") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigurationError(
            f"train.model.weights: {path}: is no readable safetensors file ({told(error)})"
        ) from None
    own = module.state_dict()
    _check_fit(own, tensors, path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _check_fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    for what, names in (
        ("lacks", own.keys() - given.keys()),
        ("has, without a place for it,", given.keys() - own.keys()),
    ):
        if names:
            some = ", ".join(sorted(names)[:NAMED])
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise ConfigurationError(
                f"train.model.weights: {path} {what} {some}{more}; it must be of this very network"
            )
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            raise ConfigurationError(
                f"train.model.weights: {path}: {name} has shape {list(given[name].shape)}, the network's has "
                f"{list(tensor.shape)}"
            )
        if not torch.isfinite(given[name].float()).all():
            raise ConfigurationError(f"train.model.weights: {path}: {name} holds NaN or infinity")
