"""Networks of the user's own: made by a factory, `package.module:factory`, that the configuration names.

To load a factory is to run its code. So only what the configuration of this process names is ever imported: a
checkpoint or a round's directory that asks for anything else is refused.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from service.errors import ConfigurationError
from service.model.encoder import Encoder
from service.settings import Task

SETTING = "train.model.module"

_trusted: set[str] = set()


@dataclass(frozen=True)
class ModelInputs:
    """What a factory is told of the events: how wide a network's inputs are, and what is in each column.

    The network is called as ``forward(numbers, missing, codes)`` and returns [n, outputs] float32: logits of a
    classification, the value of a regression.

    - ``numbers`` [n, width] float32: the features named in ``numbers``, numeric, then boolean, one column each, and
      behind them each vector, whose columns ``vectors`` tells. 0 where missing.
    - ``missing`` [n, len(nullable)] float32: 1 where that feature is missing.
    - ``codes`` [n, len(categories)] int64: a code for each category, 0 where missing, 1 if unknown, below the number
      that ``categories`` tells.
    """

    task: Task
    outputs: int
    numbers: tuple[str, ...]
    vectors: Mapping[str, slice]
    nullable: tuple[str, ...]
    categories: Mapping[str, int]

    @property
    def width(self) -> int:
        """How many columns ``numbers`` has."""
        return max((place.stop for place in self.vectors.values()), default=len(self.numbers))


Factory = Callable[..., nn.Module]


def trust(reference: str) -> None:
    """Let this process import a factory; to be called with what its configuration names, and with nothing else."""
    _trusted.add(reference)


def inputs_of(encoder: Encoder) -> ModelInputs:
    """Return what a factory is told."""
    columns = encoder.columns()
    numbers = (*columns.numbers, *columns.vectors)
    return ModelInputs(
        task=encoder.task,
        outputs=encoder.outputs,
        numbers=columns.numbers,
        vectors=columns.vectors,
        nullable=tuple(name for name in numbers if name in columns.nullable),
        categories=dict.fromkeys(columns.categorical, encoder.room),
    )


def build(encoder: Encoder) -> nn.Module:
    """Return a new network of the encoder's factory; raises ConfigurationError, in one line, for whatever is wrong."""
    network = encoder.network
    reference = network.module or ""
    factory = load(reference)
    try:
        made = factory(inputs_of(encoder), **network.arguments)
    except Exception as error:
        raise ConfigurationError(
            f"{SETTING}: {reference} raised {told(error)}; it is called with one ModelInputs and train.model.arguments"
        ) from error
    if not isinstance(made, nn.Module):
        raise ConfigurationError(f"{SETTING}: {reference} returned {_kind(made)}; it must return a torch.nn.Module")
    return made


def load(reference: str) -> Factory:
    """Return a factory by its name; raises ConfigurationError unless it is trusted, importable and callable."""
    if reference not in _trusted:
        raise ConfigurationError(
            f"{SETTING}: {reference} made this model, and this configuration does not name it; no other code is run"
        )
    module_name, _, attribute = reference.partition(":")
    here = os.getcwd()  # noqa: PTH109 - as text, for sys.path
    if here not in sys.path:
        sys.path.append(here)  # behind all else: what lies there can hide nothing that is installed
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"{SETTING}: {module_name} cannot be imported ({told(error)}); it is looked for among installed packages, "
            f"in PYTHONPATH and in {here}"
        ) from error
    for step in attribute.split("."):
        if not hasattr(found, step):
            raise ConfigurationError(f"{SETTING}: {module_name} has no {attribute}; name a function or class in it")
        found = getattr(found, step)
    if not callable(found):
        raise ConfigurationError(f"{SETTING}: {reference} is {_kind(found)}, which cannot be called; name a factory")
    factory: Factory = found
    return factory


def told(error: BaseException) -> str:
    """Return an error as one line: its class and the first line of what it says."""
    words = str(error).strip().splitlines()
    return f"{type(error).__name__}: {words[0]}" if words else type(error).__name__


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
