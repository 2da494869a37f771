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

    ``weights`` [M, P] is moved in place, ``steps`` times at most; ``rates`` [M] are step sizes; weights outside of
    ``mask`` [P] do not decay. The class ``torch.optim.AdamW`` has one step size for a whole tensor, and its first use
    loads torch's compiler: seconds at every start of a worker.
    """

    def __init__(
        self,
        weights: Tensor,
        moments: Moments,
        rates: Tensor,
        weight_decay: float,
        steps: int,
        mask: Tensor | None = None,
    ) -> None:
        self.moments = moments
        self._weights = weights
        decay = (rates * weight_decay)[:, None]
        self._kept = 1 - (decay if mask is None else decay * mask)
        # Both corrections of the start, and the step size, are in the divisor: it is passed over anyway.
        first, second = BETAS
        seen = moments.steps + torch.arange(1, steps + 1, device=weights.device)[:, None]
        short, long = (1 - first**seen) / rates, (1 - second**seen).sqrt()
        self._scales, self._floors = (short / long)[..., None].unbind(), (short * EPSILON)[..., None].unbind()
        self._taken = 0
        self._divisor = torch.empty_like(weights)

    def step(self, gradients: Tensor) -> None:
        """Move the weights by their gradients [M, P]."""
        first, second = BETAS
        moments, taken = self.moments, self._taken
        moments.mean.lerp_(gradients, 1 - first)
        moments.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        divisor = torch.sqrt(moments.square, out=self._divisor).mul_(self._scales[taken]).add_(self._floors[taken])
        self._weights.mul_(self._kept).addcdiv_(moments.mean, divisor, value=-1)
        moments.steps += 1
        self._taken += 1
