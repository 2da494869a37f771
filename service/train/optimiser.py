"""AdamW whose running averages are plain arrays, so that a lineage carries them from round to round."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETAS = (0.9, 0.999)
EPSILON = 1e-8

KINDS = ("mean", "square", "step")


class AdamW:
    """Decoupled weight decay regularisation (Loshchilov & Hutter 2019), by torch's own functional form.

    The class ``torch.optim.AdamW`` does the same, but its first use loads torch's compiler: seconds at every start of
    a worker, and some hundred megabytes, for nothing. ``moments`` are what ``moments()`` returned, or empty.
    """

    def __init__(
        self, network: nn.Module, moments: Mapping[str, NDArray[Any]], learning_rate: float, weight_decay: float
    ) -> None:
        self._parameters = dict(network.named_parameters())
        self._state = {
            name: {
                kind: torch.from_numpy(np.array(moments[f"{name}:{kind}"]))
                if moments
                else torch.zeros_like(parameter, requires_grad=False)
                if kind != "step"
                else torch.zeros(())
                for kind in KINDS
            }
            for name, parameter in self._parameters.items()
        }
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters by their gradients."""
        trained = [name for name, parameter in self._parameters.items() if parameter.grad is not None]

        def kind(which: str) -> list[Tensor]:
            return [self._state[name][which] for name in trained]

        adamw(
            [self._parameters[name] for name in trained],
            [grad for name in trained if (grad := self._parameters[name].grad) is not None],
            kind("mean"),
            kind("square"),
            [],
            kind("step"),
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self._learning_rate,
            weight_decay=self._weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def moments(self) -> dict[str, NDArray[Any]]:
        """Return the running averages by parameter and kind, copied."""
        return {
            f"{name}:{kind}": tensor.numpy().copy()
            for name, kinds in self._state.items()
            for kind, tensor in kinds.items()
        }
