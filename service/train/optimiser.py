"""AdamW over the joined parameters of all members, each with a step size of its own; its state is plain tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass
class Moments:
    """Running averages of gradients and of their squares [M, P], and how many steps they have seen [M]."""

    mean: Tensor
    square: Tensor
    steps: Tensor


class AdamW:
    """Decoupled weight decay regularisation (Loshchilov & Hutter 2019), for members that are moved together.

    ``weights`` [M, P] is moved in place; ``rates`` [M] are step sizes; weights outside of ``mask`` [P] do not decay.
    The class ``torch.optim.AdamW`` has one step
    size for a whole tensor, and its first use loads torch's compiler: seconds at every start of a worker.
    """

    def __init__(
        self, weights: Tensor, moments: Moments, rates: Tensor, weight_decay: float, mask: Tensor | None = None
    ) -> None:
        self.moments = moments
        self._weights = weights
        self._rates = rates
        decay = (rates * weight_decay)[:, None]
        self._kept = 1 - (decay if mask is None else decay * mask)

    @torch.no_grad()
    def step(self, gradients: Tensor) -> None:
        """Move the weights by their gradients [M, P]."""
        first, second = BETAS
        moments = self.moments
        moments.steps += 1
        moments.mean.lerp_(gradients, 1 - first)
        moments.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        short = (1 - first**moments.steps)[:, None]
        long = (1 - second**moments.steps).sqrt()[:, None]
        root = moments.square.sqrt().div_(long).add_(EPSILON)
        self._weights.mul_(self._kept).sub_((moments.mean / root).mul_(self._rates[:, None] / short))
