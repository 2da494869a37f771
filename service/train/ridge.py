"""Least squares in closed form, with forgetting: the members that are right after one look at the newest events."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.members import Members, Weights, taken_apart
from service.settings import Task
from service.train.losses import losses
from service.train.material import Batches
from service.train.round import Arrays, Challenger, Trained

PENALTY = 10.0
"""Added to the diagonal (Hoerl & Kennard 1970): as much as ten events that say every weight is nothing."""

SHARPNESS = 6.0
"""By what fitted indicators, mostly between 0 and 1, are multiplied to be logits."""

WIDEST = 512
"""More features than this are folded into so many: sums of features by features must stay small and quickly solved."""

KEPT_AT_JUMP = 0.005
"""What a member that forgets at jumps keeps of what it knew before."""


def fit_ridge(
    members: Members, challengers: Sequence[Challenger], start: Sequence[Weights], batches: Batches, task: Task
) -> list[Trained]:
    """Return what became of each ridge regression, recursively from its sums so far.

    Recursive least squares with exponential forgetting (Haykin 2002, chapter 9), block by block: sums over events of
    features by features and features by targets fade by ``1 - 1 / window_events`` an event. Targets are indicators of
    the label, or a regression's standardised value.
    """
    flat, layout = members.join(members.names())
    outputs = layout["layers.0.bias"][2][1]
    fold = Fold(flat.shape[1] // outputs)
    moments: list[Arrays] = []
    for index, challenger in enumerate(challengers):
        gram, cross = _sums_after(challenger, batches, task, fold, outputs)
        solved, _ = torch.linalg.solve_ex(gram + PENALTY * torch.eye(len(gram)).double(), cross)
        flat[index] = fold.back(solved if task == "regression" else solved * SHARPNESS).flatten()
        moments.append({"gram": gram.numpy(), "cross": cross.numpy(), "width": np.array([fold.width])})
    newest = slice(max(batches.window - max(batches.fresh, 1), 0), batches.window)
    targets = batches.all.targets[newest].expand(len(challengers), -1)
    told = losses(members(*(part[newest] for part in batches.all.rows)), targets, task).mean(dim=1)
    return [
        Trained(one.name, taken_apart(row, layout), own, 1, float(loss), None)
        if torch.isfinite(row).all() and torch.isfinite(loss)
        else Trained(one.name, dict(began), {}, 1, None, None)
        for one, began, row, own, loss in zip(challengers, start, flat, moments, told, strict=True)
    ]


class Fold:
    """Features and a constant, ``width`` in all, as at most WIDEST: each is added to one of them, with a random sign.

    Feature hashing (Weinberger et al. 2009), which keeps products on average; up to WIDEST nothing is changed.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.folded = min(width, WIDEST)
        if width > WIDEST:
            random = np.random.default_rng(width)
            self._places = torch.from_numpy(random.integers(0, WIDEST, width))
            self._signs = torch.from_numpy(random.choice([-1.0, 1.0], width))

    def of(self, features: Tensor) -> Tensor:
        """Return the first of features [n, …], and the constant, as [n, self.folded] in double precision."""
        whole = torch.cat([features[:, : self.width - 1], torch.ones(len(features), 1)], dim=1).double()
        if self.folded == self.width:
            return whole
        return torch.zeros(len(whole), self.folded).double().index_add_(1, self._places, whole * self._signs)

    def back(self, weights: Tensor) -> Tensor:
        """Return weights of what was folded [self.folded, outputs] as weights of each feature [self.width, outputs]."""
        return weights if self.folded == self.width else weights[self._places] * self._signs[:, None]


def _sums_after(
    challenger: Challenger, batches: Batches, task: Task, fold: Fold, outputs: int
) -> tuple[Tensor, Tensor]:
    """Return the faded sums, features by features and by targets, the newest events in them."""
    recipe = challenger.recipe
    known = _sums(challenger.moments, fold, outputs)
    fresh = batches.window if known is None else batches.fresh
    newest = slice(batches.window - fresh, batches.window)
    features, targets = fold.of(batches.all.rows[0][newest]), batches.all.targets[newest]
    wanted = targets[:, None].double() if task == "regression" else _indicators(targets, outputs)
    fade = 1 - 1 / recipe.window_events
    ages = torch.arange(fresh - 1, -1, -1).double()
    weights = fade**ages
    jumped = recipe.since_jump and batches.since_jump < batches.window
    if jumped:
        weights = torch.where(ages < batches.since_jump, weights, weights * KEPT_AT_JUMP)
    weighted = (features * weights[:, None]).T
    gram, cross = weighted @ features, weighted @ wanted
    if known is None:
        return gram, cross
    kept = fade**fresh * (KEPT_AT_JUMP if jumped and batches.since_jump <= fresh else 1.0)
    return gram + kept * known[0], cross + kept * known[1]


def _sums(moments: Mapping[str, NDArray[Any]], fold: Fold, labels: int) -> tuple[Tensor, Tensor] | None:
    """Return the sums so far; None at the start, and when a category's new values have made the features wider."""
    if "width" not in moments or moments["width"][0] != fold.width or moments["cross"].shape[1] != labels:
        return None
    return torch.from_numpy(moments["gram"]).double(), torch.from_numpy(moments["cross"]).double()


def _indicators(targets: Tensor, labels: int) -> Tensor:
    return torch.nn.functional.one_hot(targets, labels).double()
