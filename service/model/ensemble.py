"""The networks of a whole portfolio, grouped by architecture: members of one shape are computed together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model import custom
from service.model.encoder import Encoder
from service.model.inputs import TabularInputs, inputs_of
from service.model.members import Members, Separate, Weights
from service.model.network import FIRST, Perceptrons
from service.settings import Member


@dataclass(frozen=True)
class Shape:
    """What tells architectures apart: has it hidden layers, and does it see bins."""

    hidden: bool
    bins: bool

    @classmethod
    def of(cls, member: Member) -> "Shape":
        """Return the shape of a member yet to be made."""
        return cls(member.kind == "network", member.bins)

    @classmethod
    def of_weights(cls, weights: Mapping[str, Any]) -> "Shape":
        """Return the shape of the member that has these weights."""
        return cls("layers.1.weight" in weights, f"{FIRST}.bins" in weights)


@dataclass(frozen=True)
class Group:
    """Members of one shape, and their places in the portfolio."""

    members: Members
    places: list[int]


class Ensemble:
    """M networks as one: called with an encoder's numbers, missing and codes they return [M, outputs, n]."""

    def __init__(self, groups: Sequence[Group], inputs: TabularInputs | None) -> None:
        self.groups = groups
        self.count = sum(len(group.places) for group in groups)
        order = [place for group in groups for place in group.places]
        self._order = None if order == sorted(order) else torch.from_numpy(np.argsort(order))
        self._inputs = inputs

    def prepare(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        """Return what the groups take, a row for each event."""
        return (numbers, missing, codes) if self._inputs is None else self._inputs(numbers, missing, codes)

    def __call__(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [M, outputs, n]."""
        return self.outputs(self.prepare(numbers, missing, codes))

    def outputs(self, prepared: tuple[Tensor, ...]) -> Tensor:
        """Return [M, outputs, n] of what ``prepare`` returned."""
        outs = [group.members(*prepared) for group in self.groups]
        whole = outs[0] if len(outs) == 1 else torch.cat(outs)
        return whole if self._order is None else whole[self._order]

    def members(self) -> list[Weights]:
        """Return a copy of each member's parameters and buffers by name."""
        found: dict[int, Weights] = {}
        for group in self.groups:
            found |= dict(zip(group.places, group.members.members(), strict=True))
        return [found[place] for place in range(self.count)]

    def load(self, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Copy each member's weights in; raises ValueError when names or shapes differ."""
        for group in self.groups:
            group.members.load([members[place] for place in group.places])


def build_network(
    encoder: Encoder, shapes: Sequence[Shape] = (Shape(hidden=True, bins=False),), *, fresh: bool = True
) -> Ensemble:
    """Return networks of the encoder's architecture, one a shape, with fresh weights from torch's current seed.

    Without ``fresh`` weights the built-in ones are 0: faster, where others are to be loaded.

    Raises ConfigurationError where that is a module that the configuration does not name, or that cannot be made.
    """
    if encoder.network.module is not None:
        separate = Separate([custom.build(encoder) for _ in shapes])
        return Ensemble([Group(separate, list(range(len(shapes))))], None)
    inputs = inputs_of(encoder)
    groups = []
    for shape in dict.fromkeys(shapes):
        places = [place for place, one in enumerate(shapes) if one == shape]
        groups.append(Group(_perceptrons(encoder, inputs, shape, len(places), fresh=fresh), places))
    return Ensemble(groups, inputs)


def _perceptrons(encoder: Encoder, inputs: TabularInputs, shape: Shape, count: int, *, fresh: bool) -> Perceptrons:
    network = encoder.network
    blocks = {name: width for name, width in inputs.blocks.items() if shape.bins or name != "bins"}
    hidden = network.hidden if shape.hidden else ()
    embedded = tuple(inputs.embedded.items()) if hidden else ()
    return Perceptrons(
        count, blocks, (embedded, network.embedding_width), hidden, encoder.outputs, network.dropout, fresh=fresh
    )
