"""Several networks of one architecture as one: a member axis comes first, and training moves them together."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Weights = dict[str, NDArray[np.float32]]
Layout = dict[str, tuple[int, int, torch.Size]]
"""Of each trained parameter: where it begins and ends in a member's row, and its shape."""


class Pieces(Weights):
    """Arrays by name that are, by ``layout``, the pieces of one ``row`` [P]; none is to be put in another's place.

    Most weights come from a row and go into one again, which is quicker whole than by name.
    """

    def __init__(self, row: NDArray[np.float32], layout: "Layout") -> None:
        super().__init__((name, row[begin:end].reshape(shape)) for name, (begin, end, shape) in layout.items())
        self.row = row
        self.layout = layout


class Members(ABC):
    """What a portfolio's networks have in common; M members, each known by its own names and shapes.

    Called with what an Ensemble prepares, [n, …] for all members or [M, n, …] for each its own, they return
    [M, outputs, n]. ``mask`` [P] tells which of the joined parameters are trained, None for all.
    """

    count: int
    mask: Tensor | None = None

    @abstractmethod
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n]."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of a member's parameters, in order."""

    @abstractmethod
    def members(self) -> list[Weights]:
        """Return a copy of each member's parameters and buffers by name."""

    @abstractmethod
    def load(self, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Copy each member's weights in; raises ValueError when names or shapes differ."""

    @abstractmethod
    def join(self, names: Collection[str]) -> tuple[Tensor, Layout]:
        """Return the named parameters, at least, as one tensor [M, P] whose rows the network uses from now on."""

    @abstractmethod
    def answer(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n] as in training, and keep what ``blame`` needs."""

    @abstractmethod
    def blame(self, gradient: Tensor) -> Tensor:
        """Return the gradients of joined parameters [M, P], given that of the last answer [M, outputs, n]."""

    def seen(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return, of what an Ensemble prepares, what these members look at."""
        return inputs

    def modules(self) -> list[nn.Module]:
        """Return the torch modules that they are made of, if any."""
        return []

    @abstractmethod
    def learning(self, *, on: bool) -> None:
        """Behave as in training from now on, or as in evaluation."""


class Separate(Members):
    """Members that are modules of their own, run one after the other: what a user's architecture needs.

    Batching them by ``torch.func.vmap`` would forbid modules much that is common (running statistics, data-dependent
    branches), and saves nothing where a pass is large.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.count = len(modules)
        self.each = list(modules)
        for module in self.each:
            module.eval().requires_grad_(requires_grad=False)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n]."""
        own = inputs[0].dim() > 2  # noqa: PLR2004 - rows and features, and before them members
        outs = [module(*(part[index] if own else part for part in inputs)) for index, module in enumerate(self.each)]
        return torch.stack(outs).transpose(1, 2)

    def names(self) -> list[str]:
        """Return the names of a member's parameters, in order."""
        return [name for name, _ in self.each[0].named_parameters()]

    def modules(self) -> list[nn.Module]:
        """Return the torch modules that they are made of."""
        return self.each

    def learning(self, *, on: bool) -> None:
        """Behave as in training from now on, or as in evaluation."""
        for module in self.each:
            module.train(on)

    def members(self) -> list[Weights]:
        """Return a copy of each member's parameters and buffers by name."""
        return [
            {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}
            for module in self.each
        ]

    def load(self, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Copy each member's weights in; raises ValueError when names or shapes differ."""
        for module, weights in zip(self.each, members, strict=True):
            own = module.state_dict()
            check_names(own, weights, own)
            for name, tensor in own.items():
                copy_array(name, tensor.data.numpy(), weights[name])

    def join(self, names: Collection[str]) -> tuple[Tensor, Layout]:
        """Return the named parameters as one tensor [M, P], whose rows the modules use from now on.

        The others take no gradients.
        """
        chosen = [{name: one for name, one in module.named_parameters() if name in names} for module in self.each]
        layout = layout_of({name: parameter.shape for name, parameter in chosen[0].items()})
        flat = torch.stack([torch.cat([one.data.reshape(-1) for one in own.values()]) for own in chosen])
        for index, own in enumerate(chosen):
            for name, parameter in own.items():
                begin, end, shape = layout[name]
                parameter.data = flat[index, begin:end].view(shape)
                parameter.requires_grad = True
        self._joined = list(layout)
        return flat, layout

    def answer(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n] as in training, and keep what ``blame`` needs."""
        self._answer: Tensor = self(*inputs)
        out: Tensor = self._answer.detach()
        return out

    def blame(self, gradient: Tensor) -> Tensor:
        """Return the gradients of joined parameters [M, P], given that of the last answer [M, outputs, n]."""
        for module in self.each:
            module.zero_grad()
        self._answer.backward(gradient)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        each = [dict(module.named_parameters()) for module in self.each]
        return torch.stack([torch.cat([_gradient(own[name]).reshape(-1) for name in self._joined]) for own in each])


def layout_of(shapes: Mapping[str, torch.Size]) -> Layout:
    """Return where parameters of these shapes lie, one after the other."""
    layout: Layout = {}
    begin = 0
    for name, shape in shapes.items():
        layout[name] = (begin, begin + shape.numel(), shape)
        begin += shape.numel()
    return layout


def taken_apart(row: Tensor, layout: Layout) -> Weights:
    """Return a member's row [P] as arrays by name, copied."""
    return Pieces(row.numpy().copy(), layout)


def put_together(arrays: Mapping[str, NDArray[Any]], layout: Layout, otherwise: Tensor) -> Tensor:
    """Return arrays by name as a row [P]; where one is absent or has fewer rows, ``otherwise`` [P] shows through."""
    if isinstance(arrays, Pieces) and arrays.layout == layout:
        return torch.from_numpy(arrays.row)
    row = otherwise.clone()
    target = row.numpy()
    for name, (begin, end, shape) in layout.items():
        if name in arrays:
            copy_array(name, target[begin:end].reshape(shape), arrays[name])
    return row


def check_names(needed: Collection[str], given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise ValueError, with the names in it, unless all that is needed is given, and nothing unknown."""
    missing, unknown = sorted(set(needed) - given.keys()), sorted(given.keys() - set(known))
    if missing:
        raise ValueError(f"the weights do not fit the network: a member misses {', '.join(missing)}")
    if unknown:
        raise ValueError(f"the weights do not fit the network: it has no place for {', '.join(unknown)}")


def copy_array(name: str, target: NDArray[Any], array: NDArray[Any]) -> None:
    """Copy an array into a parameter's, the first rows where there is room for more categories than it knows.

    Raises ValueError when the shapes do not fit.
    """
    if target.shape == array.shape:
        target[...] = array
        return
    same_width = target.ndim == array.ndim > 1 and target.shape[1:] == array.shape[1:]
    appended = re.match(r"embedding\d*\.", name) is not None or ".category" in name
    if not (same_width and appended and array.shape[0] < target.shape[0]):
        raise ValueError(
            f"the weights do not fit the network: {name} has shape {list(array.shape)}, not {list(target.shape)}"
        )
    target[: array.shape[0]] = array


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
