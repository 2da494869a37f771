"""The built-in networks for tabular events: multilayer perceptrons, stacked."""

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.members import Layout, Members, Weights, check_names, layout_of, put_together, taken_apart

FIRST = "layers.0"
EMBEDDED = f"{FIRST}.embedded"
EMBEDDING = "embedding"

Embedded = tuple[tuple[tuple[int, int], ...], int]
"""Categorical columns with many values, as pairs of column and room for codes, and in how many numbers they go."""


class Perceptrons(Members):
    """M multilayer perceptrons of one shape; without hidden layers, M linear models.

    They take a TabularInputs' features and codes, and return logits of a classification, or the standardised value of a
    regression, outputs before events. Weights are one matrix [M, P], of which layers are views: the gradient is written
    down by hand (half of what autograd costs at this size, and a fifth of ``torch.func``), the optimiser moves one
    tensor. The first layer's weights stand in blocks by what they look at. Each ``embedded`` column has weights of
    its own name, so that it may grow, or come to be embedded, by itself. Without ``fresh`` weights all are 0, for
    others to be loaded.
    """

    def __init__(
        self,
        count: int,
        blocks: dict[str, int],
        embedded: Embedded,
        hidden: tuple[int, ...],
        outputs: int,
        dropout: float = 0.0,
        *,
        fresh: bool = True,
    ) -> None:
        self.count = count
        self.dropout = dropout
        self.width = sum(blocks.values())
        columns, each = self._embedded = embedded
        self._offsets = torch.tensor([sum(room for _, room in columns[:index]) for index in range(len(columns))])
        widths = [self.width + len(columns) * each, *hidden, outputs]
        self.layout = _layout(tuple(blocks.items()), tuple(widths), *embedded)
        tables = [place for name, place in self.layout.items() if name.startswith(EMBEDDING)]
        self._table = (tables[0][0], tables[-1][1], each) if tables else None
        self.flat = torch.zeros(count, max(end for _, end, _ in self.layout.values()))
        if fresh and hidden:
            self._begin(widths)
        self._layers, self._widths = self._views(self.flat, widths), widths

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n]."""
        features, codes = inputs
        return self._pass(features[..., : self.width], codes, None)

    def seen(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the features that these members see, without bins for those that have none."""
        features, codes = inputs
        return features[..., : self.width].contiguous(), codes

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

        What only features with many values have may be absent, and rows of values that are new: they begin so that no
        answer changes by it.
        """
        optional = [name for name in self.layout if name.startswith((EMBEDDED, EMBEDDING))]
        needed = [name for name in self.layout if name not in optional]
        for index, given in enumerate(members):
            weights = _by_column(given, self._embedded)
            check_names(needed, weights, self.layout)
            row = self.flat[index]
            for name in optional:
                begin, end, _ = self.layout[name]
                if name.startswith(EMBEDDED):
                    row[begin:end] = 0.0
                elif name not in weights or not weights[name].any():
                    # Were it 0 as well, neither would ever have a gradient.
                    row[begin:end].normal_(std=0.1, generator=torch.Generator().manual_seed(index))
                    weights = {known: array for known, array in weights.items() if known != name}
            row.copy_(put_together(weights, self.layout, row))

    def answer(self, *inputs: Tensor) -> Tensor:
        """Return [M, outputs, n] as in training, and keep what ``blame`` needs; inputs are [M, n, …]."""
        features, codes = inputs
        self._trace: list[Tensor] = []
        self._codes = codes
        return self._pass(features, codes, self._trace)

    def blame(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the weights [M, P], given that of the last answer [M, outputs, n].

        It is good until the next call, which writes into the same memory.
        """
        whole, views = self._gradients
        weight, bias = views[-1]
        torch.bmm(gradient, self._trace[-1], out=weight)
        torch.sum(gradient, 2, keepdim=True, out=bias)
        after = self._layers[-1][0]
        gradient = gradient.transpose(1, 2)
        for index in range(len(self._layers) - 2, -1, -1):
            # Behind a ReLU all is at least 0, so that its sign is its slope; far quicker than a comparison.
            gradient = torch.bmm(gradient, after).mul_(self._trace[index + 1].sign())
            if self.dropout:
                gradient.mul_(1 / (1 - self.dropout))
            torch.bmm(self._trace[index].transpose(1, 2), gradient, out=views[index][0])
            torch.sum(gradient, 1, keepdim=True, out=views[index][1])
            after = self._layers[index][0].transpose(1, 2)
        if self._table is not None:
            begin, end, each = self._table
            seen = torch.bmm(gradient, after[..., self.width :])
            table = whole[:, begin:end].view(self.count, -1, each).zero_()
            rows = self._rows(self._codes).flatten(1)[..., None].expand(-1, -1, each)
            table.scatter_add_(1, rows, seen.reshape(self.count, -1, each))
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
        hidden = features.expand(self.count, -1, -1) if features.dim() == 2 else features  # noqa: PLR2004 - no members
        if self._table is not None:
            hidden = torch.cat([hidden, self._embed(codes, *self._table)], dim=2)
        for weight, bias in self._layers[:-1]:
            if trace is not None:
                trace.append(hidden)
            hidden = torch.baddbmm(bias, hidden, weight).relu_()
            if trace is not None and self.dropout:
                hidden.mul_(torch.empty_like(hidden).bernoulli_(1 - self.dropout)).mul_(1 / (1 - self.dropout))
        if trace is not None:
            trace.append(hidden)
        weight, bias = self._layers[-1]
        return torch.baddbmm(bias, weight, hidden.transpose(1, 2))

    def _embed(self, codes: Tensor, begin: int, end: int, each: int) -> Tensor:
        table = self.flat[:, begin:end].view(self.count, -1, each)
        rows = self._rows(codes)
        members = torch.arange(self.count)[:, None, None]
        return table[members, rows].flatten(2)

    def _rows(self, codes: Tensor) -> Tensor:
        rows = codes + self._offsets
        return rows.expand(self.count, -1, -1) if rows.dim() == 2 else rows  # noqa: PLR2004 - no members

    def _views(self, flat: Tensor, widths: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of each layer; the last one's as [M, outputs, before] and [M, outputs, 1].

        So few outputs make a product slow unless they come first.
        """
        views, begin = [], 0
        for index, (before, after) in enumerate(pairwise(widths)):
            end = begin + before * after
            weight, bias = flat[:, begin:end], flat[:, end : end + after]
            if index < len(widths) - 2:
                views.append((weight.view(self.count, before, after), bias.view(self.count, 1, after)))
            else:
                first = index == 0  # whose features are rows, so that there can be more of them
                last = (
                    weight.view(self.count, before, after).transpose(1, 2)
                    if first
                    else weight.view(self.count, after, before)
                )
                views.append((last, bias.view(self.count, after, 1)))
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


def _by_column(weights: Mapping[str, NDArray[Any]], embedded: Embedded) -> Mapping[str, NDArray[Any]]:
    """Return weights with an embedding for each column; of a former version, in which the columns took turns in one."""
    columns, each = embedded
    if not {EMBEDDED, "embedding.weight"} <= weights.keys():
        return weights
    parts = {name: array for name, array in weights.items() if name not in (EMBEDDED, "embedding.weight")}
    if len(weights[EMBEDDED]) != len(columns) * each:
        return parts  # of other columns, nobody knows which
    for place, (column, room) in enumerate(columns):
        parts[f"{EMBEDDED}{column}"] = weights[EMBEDDED][place * each : (place + 1) * each]
        parts[f"{EMBEDDING}{column}.weight"] = weights["embedding.weight"][place :: len(columns)][:room]
    return parts


@lru_cache(maxsize=64)
def _layout(
    blocks: tuple[tuple[str, int], ...], widths: tuple[int, ...], embedded: tuple[tuple[int, int], ...], each: int
) -> Layout:
    """Return where a member's parameters lie: layers of these ``widths``, and behind them the embeddings, if any."""
    shapes = {f"{FIRST}.{name}": (rows, widths[1]) for name, rows in blocks if rows}
    shapes |= {f"{EMBEDDED}{column}": (each, widths[1]) for column, _ in embedded}
    shapes |= {f"{FIRST}.bias": (1, widths[1])}
    for index, (before, after) in enumerate(pairwise(widths[1:]), 1):
        last = index == len(widths) - 2
        shapes |= {f"layers.{index}.weight": (after, before) if last else (before, after)}
        shapes |= {f"layers.{index}.bias": (1, after)}
    shapes |= {f"{EMBEDDING}{column}.weight": (room, each) for column, room in embedded}
    return layout_of({name: torch.Size(shape) for name, shape in shapes.items()})
