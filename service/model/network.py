"""The built-in networks for tabular events: multilayer perceptrons, stacked."""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.members import Layout, Members, Weights, check_names, layout_of, put_together, taken_apart

FIRST = "layers.0"


class Perceptrons(Members):
    """M multilayer perceptrons of one shape; without hidden layers, M linear models.

    They take a TabularInputs' features and codes, and return logits of a classification, or the standardised value of a
    regression. Weights are one matrix [M, P], of which layers are views: the gradient is written down by hand (half of
    what autograd costs at this size, and a fifth of ``torch.func``), the optimiser moves one tensor. The first layer's
    weights stand in blocks by what they look at. Without ``fresh`` weights all are 0, for others to be loaded.
    """

    def __init__(
        self,
        count: int,
        blocks: dict[str, int],
        embedded: tuple[int, int, int],
        hidden: tuple[int, ...],
        outputs: int,
        dropout: float = 0.0,
        *,
        fresh: bool = True,
    ) -> None:
        self.count = count
        self.dropout = dropout
        self.width = sum(blocks.values())
        columns, room, each = embedded if hidden else (0, 0, 0)
        self._columns, self._embedded = columns, columns * each
        widths = [self.width + self._embedded, *hidden, outputs]
        shapes = {f"{FIRST}.{name}": (rows, widths[1]) for name, rows in blocks.items() if rows}
        if columns:
            shapes |= {f"{FIRST}.embedded": (self._embedded, widths[1])}
        shapes |= {f"{FIRST}.bias": (1, widths[1])}
        for index, (before, after) in enumerate(pairwise(widths[1:]), 1):
            shapes |= {f"layers.{index}.weight": (before, after), f"layers.{index}.bias": (1, after)}
        if columns:
            # Row code * columns + column, so that more codes of every feature come at the end.
            shapes |= {"embedding.weight": (room * columns, each)}
        self.layout: Layout = layout_of({name: torch.Size(shape) for name, shape in shapes.items()})
        self.flat = torch.zeros(count, sum(math.prod(shape) for shape in shapes.values()))
        if fresh and hidden:
            self._begin(widths)
        self._layers, self._widths = self._views(self.flat, widths), widths

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return [M, n, outputs]."""
        features, codes = inputs
        return self._pass(features, codes, None)

    def names(self) -> list[str]:
        """Return the names of a member's parameters, in order."""
        return list(self.layout)

    def learning(self, *, on: bool) -> None:
        """Do nothing: what differs in training is in ``answer`` alone."""

    def members(self) -> list[Weights]:
        """Return a copy of each member's parameters by name."""
        return [taken_apart(row, self.layout) for row in self.flat]

    def load(self, members: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Copy each member's weights in; raises ValueError when names or shapes differ.

        What only features with many values have may be absent, and rows of values that are new: both begin at 0, so
        that no answer changes by it.
        """
        needed = [name for name in self.layout if not name.endswith((".embedded", "embedding.weight"))]
        for index, weights in enumerate(members):
            check_names(needed, weights, self.layout)
            row = self.flat[index]
            if len(weights) < len(self.layout):
                begin, end, _ = self.layout[f"{FIRST}.embedded"]
                row[begin:end] = 0.0
            row.copy_(put_together(weights, self.layout, row))

    def answer(self, *inputs: Tensor) -> Tensor:
        """Return [M, n, outputs] as in training, and keep what ``blame`` needs; inputs are [M, n, …]."""
        features, codes = inputs
        self._trace: list[Tensor] = []
        self._codes = codes
        return self._pass(features, codes, self._trace)

    def blame(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the weights [M, P], given that of the last answer [M, n, outputs].

        It is good until the next call, which writes into the same memory.
        """
        whole, views = self._gradients
        for index in range(len(self._layers) - 1, -1, -1):
            before = self._trace[index]
            torch.bmm(before.transpose(1, 2), gradient, out=views[index][0])
            torch.sum(gradient, 1, keepdim=True, out=views[index][1])
            if index:
                gradient = torch.bmm(gradient, self._layers[index][0].transpose(1, 2)).mul_(before > 0)
                if self.dropout:
                    gradient.mul_(1 / (1 - self.dropout))
        if self._columns:
            seen = torch.bmm(gradient, self._layers[0][0][:, self.width :].transpose(1, 2))
            begin, end, shape = self.layout["embedding.weight"]
            table = whole[:, begin:end].view(self.count, *shape).zero_()
            rows = self._rows(self._codes).flatten(1)[..., None].expand(-1, -1, shape[1])
            table.scatter_add_(1, rows, seen.reshape(self.count, -1, shape[1]))
        return whole if self.mask is None else whole * self.mask

    def join(self, names: Collection[str]) -> tuple[Tensor, Layout]:
        """Return all weights [M, P]; those not named are masked: they take no gradient and do not decay."""
        if set(names) != set(self.layout):
            self.mask = torch.zeros(self.flat.shape[1])
            for name in names:
                begin, end, _ = self.layout[name]
                self.mask[begin:end] = 1.0
        gradients = torch.zeros_like(self.flat)
        self._gradients = gradients, self._views(gradients, self._widths)
        return self.flat, self.layout

    def _pass(self, features: Tensor, codes: Tensor, trace: list[Tensor] | None) -> Tensor:
        hidden = features[..., : self.width]
        hidden = hidden.expand(self.count, -1, -1) if hidden.dim() == 2 else hidden  # noqa: PLR2004 - no members
        if self._columns:
            hidden = torch.cat([hidden, self._embed(codes)], dim=2)
        for index, (weight, bias) in enumerate(self._layers):
            if trace is not None:
                trace.append(hidden)
            hidden = torch.baddbmm(bias, hidden, weight)
            if index < len(self._layers) - 1:
                hidden.relu_()
                if trace is not None and self.dropout:
                    hidden.mul_(torch.empty_like(hidden).bernoulli_(1 - self.dropout)).mul_(1 / (1 - self.dropout))
        return hidden

    def _embed(self, codes: Tensor) -> Tensor:
        begin, end, shape = self.layout["embedding.weight"]
        table = self.flat[:, begin:end].view(self.count, *shape)
        rows = self._rows(codes)
        members = torch.arange(self.count)[:, None, None]
        return table[members, rows].flatten(2)

    def _rows(self, codes: Tensor) -> Tensor:
        rows = codes * self._columns + torch.arange(self._columns)
        return rows.expand(self.count, -1, -1) if rows.dim() == 2 else rows  # noqa: PLR2004 - no members

    def _views(self, flat: Tensor, widths: list[int]) -> list[tuple[Tensor, Tensor]]:
        views, begin = [], 0
        for before, after in pairwise(widths):
            end = begin + before * after
            weight = flat[:, begin:end].view(self.count, before, after)
            views.append((weight, flat[:, end : end + after].view(self.count, 1, after)))
            begin = end + after
        return views

    def _begin(self, widths: list[int]) -> None:
        """Begin as ``nn.Linear`` does, with small embeddings."""
        begin = 0
        for before, after in pairwise(widths):
            end = begin + (before + 1) * after
            reach = 1 / math.sqrt(max(before, 1))
            self.flat[:, begin:end].uniform_(-reach, reach)
            begin = end
        self.flat[:, begin:].normal_(std=0.1)
