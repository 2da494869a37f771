"""What training minimises, for M members at once, and its gradient where the networks answer."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from service.settings import Task

TEMPERATURE = 2.0
"""Distillation compares softened probabilities, in which also the unlikely labels' order counts."""


def losses(out: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return each member's loss of each event [M, n], of outputs [M, outputs, n] against targets [M, n].

    Cross-entropy in nats; for a regression Huber's loss, in which a few wild labels do not dominate (Huber 1964).
    """
    if task == "regression":
        return functional.huber_loss(out[:, 0], targets, reduction="none")
    return -torch.log_softmax(out, 1).gather(1, targets[:, None])[:, 0]


def with_gradient(out: Tensor, targets: Tensor, task: Task, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return ``losses`` and the gradient [M, outputs, n] of their means, with label smoothing (Szegedy et al. 2016).

    The losses that are told are without smoothing: nats as everywhere else.
    """
    rows = targets.shape[1]
    if task == "regression":
        apart = out[:, 0] - targets
        return losses(out, targets, task), (apart.clamp(-1.0, 1.0) / rows)[:, None]
    logs = torch.log_softmax(out, 1)
    wanted = targets[:, None]
    told = logs.gather(1, wanted)[:, 0].neg_()
    gradient = logs.exp_().sub_(smoothing / out.shape[1])
    gradient.scatter_add_(1, wanted, _filled(wanted.shape, smoothing - 1.0, out.device))
    return told, gradient.div_(rows)


def distilled(out: Tensor, former: Tensor, task: Task) -> Tensor:
    """Return the gradient [M, outputs, n] of how far each member has gone from what it answered ``former``-ly.

    Knowledge distillation (Hinton, Vinyals & Dean 2015) from the weights before the round, as in Learning without
    Forgetting (Li & Hoiem 2016): Kullback-Leibler divergence of softened probabilities times the squared temperature;
    for a regression half the squared difference.
    """
    if task == "regression":
        return (out - former) / out.shape[2]
    now, before = torch.softmax(out / TEMPERATURE, 1), torch.softmax(former / TEMPERATURE, 1)
    return (now - before) * (TEMPERATURE / out.shape[2])


def clipped(gradients: Tensor, largest: float) -> Tensor:
    """Return gradients [M, P], those of a member scaled down whose norm is above ``largest``."""
    return gradients.renorm_(2, 0, largest)


@lru_cache(maxsize=8)
def _filled(shape: torch.Size, value: float, device: torch.device) -> Tensor:
    """Return a tensor of one value, not to be written to: every step needs the same."""
    return torch.full(shape, value, device=device)
