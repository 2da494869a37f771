"""What batches are drawn from: the window's newest events, another stretch of them for each member, and replay."""

from collections.abc import Sequence
from copy import copy
from typing import Self

import numpy as np
import torch
from torch import Tensor

from service.hashing import STOPPING_SALT, chosen
from service.model.encoder import Encoder
from service.model.ensemble import Ensemble
from service.model.members import Members
from service.records import BoolArray, Examples, IntArray
from service.settings import Member
from service.train.round import Round

UNKNOWN_SHARE = 0.02
"""Share of categories shown as unknown in training, so that what stands for the unknown means something."""

REPLAYED_ROWS = 1_000
"""Most rows of the replay memory that one round looks at: each has to be made into inputs first."""

FEWEST_EVENTS = 60
"""So many of the newest events are trained on however lately the error has jumped."""


class Material:
    """Examples as networks take them, and their targets."""

    def __init__(
        self,
        encoder: Encoder,
        network: Ensemble,
        examples: Examples,
        device: torch.device,
        hide: np.random.Generator | None = None,
    ) -> None:
        numbers, missing, codes = encoder.inputs(examples.numbers, examples.codes)
        if hide is not None and codes.shape[1]:
            hidden = torch.from_numpy(hide.random(codes.shape) < UNKNOWN_SHARE)
            codes = torch.where(hidden, torch.ones_like(codes), codes)
        prepared = network.prepare(numbers, missing, codes)
        targets = (
            torch.from_numpy(encoder.standard_targets(examples.targets))
            if encoder.task == "regression"
            else torch.from_numpy(examples.targets.astype(np.int64))
        )
        self.rows: tuple[Tensor, ...] = tuple(part.to(device) for part in prepared)
        self.targets: Tensor = targets.to(device)

    def __len__(self) -> int:
        return len(self.targets)

    def seen_by(self, members: Members) -> Self:
        """Return the same examples with only what some members look at."""
        narrowed = copy(self)
        narrowed.rows = members.seen(*self.rows)
        return narrowed

    def take(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of those rows, in their shape."""
        flat = rows.flatten()
        return tuple(
            part.index_select(0, flat).view(*rows.shape, -1) if part.shape[1] else part.new_empty(*rows.shape, 0)
            for part in self.rows
        )


class Batches:
    """All that a round trains on: the window, oldest first, and behind it a sample of the replay memory.

    All of it lies on ``device``. ``held`` is a split of the window to stop early by; empty without early stopping.
    """

    def __init__(
        self, given: Round, network: Ensemble, random: np.random.Generator, device: torch.device, *, stops: bool
    ) -> None:
        window = given.window
        stopping = _stopping_rows(window, given.settings.stopping_share if stops else 0.0)
        replay = _few_enough(given.replay, random)
        self.held = Material(given.encoder, network, window.take(stopping), device)
        learnt = Examples.concatenate([window.take(~stopping), replay])
        self.all = Material(given.encoder, network, learnt, device, random)
        self.window, self.replayed = int((~stopping).sum()), len(replay)
        self.fresh = int((~stopping)[max(len(window) - given.fresh, 0) :].sum())
        self.since_jump = min(given.since_jump, len(window))
        self._batch = given.settings.batch_size
        self._random = random
        self._device = device

    def rows_for(self, recipes: Sequence[Member], steps: int) -> Tensor:
        """Return which rows each step of each member draws, with replacement [steps, M, batch]."""
        chance = self._random.random((steps, len(recipes), self._batch))
        rows: IntArray = np.empty(chance.shape, dtype=np.int64)
        for index, recipe in enumerate(recipes):
            newest = min(recipe.window_events, self.window)
            if recipe.since_jump:
                newest = min(newest, max(self.since_jump, FEWEST_EVENTS))
            rows[:, index] = self.window - 1 - (chance[:, index] ** recipe.recency * newest).astype(np.int64)
            old = round(self._batch * recipe.replay_share) if self.replayed else 0
            rows[:, index, :old] = self.window + (chance[:, index, :old] * self.replayed).astype(np.int64)
        return torch.from_numpy(rows).to(self._device)


def _stopping_rows(window: Examples, share: float) -> BoolArray:
    """Choose by hash, so that while an event is in the window it is always, or never, kept from the steps."""
    kept = chosen(window.keys, share, STOPPING_SALT)
    # A tiny window must not lose all it has.
    return kept if (~kept).any() else np.zeros_like(kept)


def _few_enough(replay: Examples, random: np.random.Generator) -> Examples:
    if len(replay) <= REPLAYED_ROWS:
        return replay
    return replay.take(random.choice(len(replay), REPLAYED_ROWS, replace=False))
