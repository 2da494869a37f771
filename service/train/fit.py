"""Training: from a round's inputs to its candidates, with nothing read and nothing written."""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from service.errors import RoundFailedError
from service.hashing import STOPPING_SALT, chosen
from service.model.encoder import Encoder, Inputs
from service.model.learned import Weights, build_network, load_weights, weights_of
from service.records import BoolArray, Examples
from service.train.optimiser import AdamW
from service.train.round import Challenger, Outcome, Round, Trained

UNKNOWN_SHARE = 0.02
"""Share of categories shown as unknown in training, so that the unknown bucket's embedding means something."""

LARGEST_GRADIENT = 5.0
"""Norm to which gradients are clipped: one mislabelled outlier does not undo a lineage."""

Beat = Callable[[], None]


class Material:
    """Examples as a network's inputs and targets, ready to be drawn from."""

    def __init__(self, encoder: Encoder, examples: Examples) -> None:
        self.inputs: Inputs = encoder.inputs(examples.numbers, examples.codes)
        self.targets: Tensor = (
            torch.from_numpy(encoder.standard_targets(examples.targets))
            if encoder.task == "regression"
            else torch.from_numpy(examples.targets.astype(np.int64))
        )

    def __len__(self) -> int:
        return len(self.targets)

    def rows(self, rows: Tensor) -> tuple[Inputs, Tensor]:
        """Return inputs and targets of those rows."""
        numbers, missing, codes = self.inputs
        return (numbers[rows], missing[rows], codes[rows]), self.targets[rows]


def train_round(given: Round, beat: Beat = lambda: None) -> Outcome:
    """Train every challenger of a round and return what became of them.

    ``beat`` is called at every step, to show that the work goes on.
    Raises RoundFailedError (``not_finite``) when a loss is no number.
    """
    began = time.perf_counter()
    trained = []
    for index, challenger in enumerate(given.challengers):
        torch.manual_seed(given.seed + index)
        trained.append(_train(given, challenger, beat))
    return Outcome(given.number, tuple(trained), time.perf_counter() - began)


def _train(given: Round, challenger: Challenger, beat: Beat) -> Trained:
    settings, recipe = given.settings, challenger.recipe
    random = torch.Generator().manual_seed(torch.initial_seed())
    window = given.window.take(slice(max(0, len(given.window) - recipe.window_events), None))
    stopping = _stopping_rows(window, settings.stopping_share)
    fresh, held = Material(given.encoder, window.take(~stopping)), Material(given.encoder, window.take(stopping))
    replay = Material(given.encoder, given.replay)

    network = build_network(given.encoder)
    if challenger.weights is not None:
        load_weights(network, challenger.weights)
    optimiser = AdamW(network, challenger.moments, recipe.learning_rate, settings.weight_decay)
    anchor = _Anchor(network, given.anchor, settings.anchor)
    replayed = round(settings.batch_size * recipe.replay_share) if len(replay) else 0
    drawn = min(settings.batch_size - replayed, len(fresh))
    steps = settings.steps if challenger.weights is not None else settings.first_steps

    best = _Best(network, _mean_loss(network, held, given.encoder), settings.stopping_patience)
    order, losses = torch.empty(0, dtype=torch.int64), []
    for step in range(1, steps + 1):
        if len(order) < drawn:
            order = torch.randperm(len(fresh), generator=random)
        drawn_rows, order = order[:drawn], order[drawn:]
        inputs, targets = fresh.rows(drawn_rows)
        if replayed:
            old_inputs, old_targets = replay.rows(torch.randint(len(replay), (replayed,), generator=random))
            inputs = (
                torch.cat([inputs[0], old_inputs[0]]),
                torch.cat([inputs[1], old_inputs[1]]),
                torch.cat([inputs[2], old_inputs[2]]),
            )
            targets = torch.cat([targets, old_targets])
        network.train()
        network.zero_grad()
        loss = _losses(network(*_hide_some(inputs, random)), targets, given.encoder).mean()
        (loss + anchor.penalty()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise RoundFailedError(f"the loss became {losses[-1]} at step {step} of {challenger.name}", "not_finite")
        beat()
        checked = step % settings.stopping_every_steps == 0 or step == steps
        if checked and best.enough(network, _mean_loss(network, held, given.encoder)):
            break
    weights, stopping_loss = best.weights(network)
    broken = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if broken:
        raise RoundFailedError(
            f"{broken[0]} of {challenger.name} is not finite after {len(losses)} steps", "not_finite"
        )
    return Trained(
        name=challenger.name,
        weights=weights,
        moments=optimiser.moments(),
        steps=len(losses),
        training_loss=float(np.mean(losses[-settings.stopping_every_steps :])),
        stopping_loss=stopping_loss,
    )


def _stopping_rows(window: Examples, share: float) -> BoolArray:
    """Choose by hash, so that while an event is in the window it is always, or never, kept from the steps."""
    kept = chosen(window.keys, share, STOPPING_SALT)
    # A tiny window must not lose all it has.
    return kept if (~kept).any() else np.zeros_like(kept)


def _losses(out: Tensor, targets: Tensor, encoder: Encoder) -> Tensor:
    if encoder.task == "regression":
        # Huber's loss: a few wild labels do not dominate (Huber 1964).
        return nn.functional.huber_loss(out[:, 0], targets, reduction="none")
    return nn.functional.cross_entropy(out, targets, reduction="none")


def _mean_loss(network: nn.Module, held: Material, encoder: Encoder) -> float | None:
    if not len(held):
        return None
    network.eval()
    with torch.inference_mode():
        return float(_losses(network(*held.inputs), held.targets, encoder).mean())


def _hide_some(inputs: Inputs, random: torch.Generator) -> Inputs:
    numbers, missing, codes = inputs
    if not codes.shape[1]:
        return inputs
    hidden = torch.rand(codes.shape, generator=random) < UNKNOWN_SHARE
    return numbers, missing, torch.where(hidden, torch.ones_like(codes), codes)


class _Anchor:
    """L2-SP: half the squared distance to the pre-trained weights (Li, Grandvalet & Davoine 2018)."""

    def __init__(self, network: nn.Module, weights: Weights | None, strength: float) -> None:
        self._strength = strength if weights is not None else 0.0
        self._pairs = [
            (parameter, torch.from_numpy(np.array((weights or {})[name])))
            for name, parameter in network.named_parameters()
            if self._strength
        ]

    def penalty(self) -> Tensor:
        if not self._pairs:
            return torch.zeros(())
        return 0.5 * self._strength * torch.stack([((now - then) ** 2).sum() for now, then in self._pairs]).sum()


class _Best:
    """Early stopping: the weights with the lowest loss on the stopping split, and when to give up."""

    def __init__(self, network: nn.Module, loss: float | None, patience: int) -> None:
        self._loss = loss
        self._weights = weights_of(network) if loss is not None else None
        self._patience = patience
        self._worse = 0

    def enough(self, network: nn.Module, loss: float | None) -> bool:
        if loss is None or self._loss is None:
            return False
        if loss < self._loss:
            self._loss, self._weights, self._worse = loss, weights_of(network), 0
        else:
            self._worse += 1
        return self._worse >= self._patience

    def weights(self, network: nn.Module) -> tuple[Weights, float | None]:
        return (weights_of(network) if self._weights is None else self._weights), self._loss
