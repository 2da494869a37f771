"""How the built-in networks see an event: one row of features, in blocks."""

from functools import lru_cache

import torch
from torch import Tensor

from service.model.encoder import Encoder

BINS = 8
"""Quantile bins of a number in its piecewise linear encoding."""

MOST_SLOTS = 32
"""A category's first codes have a feature of their own each; a feature with more codes is embedded as well."""

NARROWEST = 1e-9
"""A bin below this width, in standard deviations, is empty: its feature stays 0."""


class TabularInputs:
    """Turns an encoder's inputs into features: numbers, flags of missing ones, categories one-hot, and bins.

    ``blocks`` tells the width of each block by its name, in order; the bins are the last, so that the features of a
    network without bins are the first ``plain`` columns. ``embedded`` tells which columns of codes need embedding, and
    for how many codes each has room.
    The bins are the piecewise linear encoding of Gorishniy, Rubachev & Babenko (2022): how far a number has come
    through each bin, between 0 and 1.
    """

    def __init__(self, encoder: Encoder) -> None:
        rooms = encoder.rooms
        self.blocks = {"numbers": len(encoder.means), "missing": len(encoder.nullable_numbers)}
        self.blocks |= {f"category{index}": min(room, MOST_SLOTS) for index, room in enumerate(rooms)}
        self.plain = sum(self.blocks.values())
        self.embedded = {index: room for index, room in enumerate(rooms) if room > MOST_SLOTS}
        self._slots = torch.tensor([min(room, MOST_SLOTS) for room in rooms], dtype=torch.int64)
        begins = [sum(list(self.blocks.values())[2 : 2 + index]) for index in range(len(rooms))]
        self._begins = torch.tensor(begins, dtype=torch.int64)
        edges = None if encoder.edges is None else torch.from_numpy(encoder.standard_edges())
        self._lows = None if edges is None else edges[:, :-1]
        if edges is not None:
            widths = edges[:, 1:] - edges[:, :-1]
            self._slopes = torch.where(widths > NARROWEST, 1 / widths.clamp_min(NARROWEST), 0.0)
            self.blocks["bins"] = edges.shape[0] * BINS
        self.width = sum(self.blocks.values())

    def __call__(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [n, width] float32 and the codes [n, embedded] that are embedded besides."""
        parts = [numbers, missing]
        if len(self._slots):
            shown = torch.where(codes < self._slots, codes, torch.ones_like(codes))  # the rest share the unknown's
            flags = torch.zeros(len(codes), self.plain - numbers.shape[1] - missing.shape[1])
            parts.append(flags.scatter_(1, shown + self._begins, 1.0))
        if self._lows is not None:
            binned = numbers[:, : len(self._lows), None]
            parts.append((binned - self._lows).mul_(self._slopes).clamp_(0.0, 1.0).flatten(1))
        return torch.cat(parts, dim=1), codes[:, list(self.embedded)]


@lru_cache(maxsize=4)
def inputs_of(encoder: Encoder) -> TabularInputs:
    """Return an encoder's inputs, made once for all that is trained and judged with it."""
    return TabularInputs(encoder)
