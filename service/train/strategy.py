"""Which of a network's parameters a round trains: all of them, the head, or the layers that the user names."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from torch import nn

from service.errors import ConfigurationError
from service.settings import Layers, Strategy

NAMED = 12
"""Parameters that an error names: enough to see how they are called."""


def trained_parameters(names: Sequence[str], strategy: Strategy) -> set[str]:
    """Return which parameters are trained, of a network's, whose ``names`` are in the order of its registering them.

    ``full``: all. ``head``: those of the last module that has any of its own, in the order in which the network
    registers them: the final linear layer of nearly all networks. ``layers``: those whose names match a pattern, in
    which ``*`` stands for any text, dots included. Raises ConfigurationError when there is nothing to train, or a
    pattern matches no parameter.
    """
    if not names:
        raise ConfigurationError("train.model.module: the network has no parameters; there is nothing to train")
    if isinstance(strategy, Layers):
        return _matching(list(names), strategy.layers)
    if strategy == "full":
        return set(names)
    last, _, _ = names[-1].rpartition(".")
    return {name for name in names if name.rpartition(".")[0] == last}


def frozen_parts(network: nn.Module, trained: Collection[str]) -> list[nn.Module]:
    """Return the parts of a network that stay in evaluation mode while it is trained; call ``eval()`` on each.

    A part is frozen when it has parameters and none of them is trained: its dropout is off, and its running
    statistics (batch normalisation) stay those it was pre-trained with. What has statistics but no parameters stays
    as it is too, unless all parameters are trained.
    """
    names = {name for name, _ in network.named_parameters()}
    if names <= set(trained):
        return []
    frozen: list[nn.Module] = []
    for prefix, module in network.named_modules():
        own = {name for name in names if not prefix or name.startswith(f"{prefix}.")}
        if own.isdisjoint(trained) if own else next(module.buffers(), None) is not None:
            frozen.append(module)
    return frozen


def _matching(names: list[str], patterns: tuple[str, ...]) -> set[str]:
    matched: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if fnmatchcase(name, pattern)}
        if not found:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            raise ConfigurationError(
                f"train.strategy.layers: {pattern!r} matches no parameter of the network; "
                f"it has {', '.join(names[:NAMED])}{more}"
            )
        matched |= found
    return matched
