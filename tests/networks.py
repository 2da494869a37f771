"""Networks of a user's own, right ones and wrong ones, that tests name in `train.model.module`."""

from typing import Any

import torch
from torch import Tensor, nn

from service.model.custom import ModelInputs

NOT_CALLABLE = 5
FEW = 10


class Linear(nn.Module):
    """A linear layer over numbers and flags."""

    def __init__(self, inputs: ModelInputs, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.layer = nn.Linear(inputs.width + len(inputs.nullable), inputs.outputs)

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        del codes
        return self.scale * self.layer(torch.cat([numbers, missing], dim=1))


class Recurrent(nn.Module):
    """A GRU over the first vector, an embedding of each category, running statistics, and a 0-d scale."""

    def __init__(self, inputs: ModelInputs, width: int = 8) -> None:
        super().__init__()
        self.vector = next(iter(inputs.vectors.values()))
        self.embeddings = nn.ModuleList(nn.Embedding(room, 2) for room in inputs.categories.values())
        self.recurrent = nn.GRU(1, width, batch_first=True)
        self.norm = nn.BatchNorm1d(width + 2 * len(inputs.categories))
        self.head = nn.Linear(width + 2 * len(inputs.categories), inputs.outputs)
        self.temperature = nn.Parameter(torch.tensor(1.0))

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        del missing
        _, state = self.recurrent(numbers[:, self.vector, None])
        parts = [state[0], *(embed(codes[:, index]) for index, embed in enumerate(self.embeddings))]
        return self.head(self.norm(torch.cat(parts, dim=1))) * self.temperature


class TwoLayers(nn.Module):
    """A body with running statistics and dropout, and a head."""

    def __init__(self, inputs: ModelInputs, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs.width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(width, inputs.outputs)

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        del missing, codes
        return self.head(self.body(numbers))


class Homebound(Linear):
    """Has a tensor that is no buffer, so that it stays where it was made."""

    def __init__(self, inputs: ModelInputs) -> None:
        super().__init__(inputs)
        self.offset = torch.ones(1, inputs.outputs)

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        return super().forward(numbers, missing, codes) + self.offset


class Moody(Linear):
    """Fails in training, though not while it is tried with a few events: for want of memory, or by a false index."""

    def __init__(self, inputs: ModelInputs, fails: str | None = None) -> None:
        super().__init__(inputs)
        self.fails = fails
        self.table = nn.Embedding(2, inputs.outputs)

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        out = super().forward(numbers, missing, codes) + self.table(codes.new_zeros(len(numbers)))
        if self.training and len(numbers) > FEW:
            if self.fails == "memory":
                if not numbers.is_cuda:
                    raise torch.OutOfMemoryError("out of memory. Tried to allocate 4 TiB. There are 8 GiB. Get more")
                kept = numbers.new_zeros(2**28)
                out = out + torch.cat([kept, numbers.new_empty(2**40)]).sum()
            if self.fails == "index":
                out = out + self.table(codes.new_full((len(numbers),), 2**20))
        return out


class Squeezed(Linear):
    """Loses the axis of one event."""

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs], but [outputs] of one event."""
        return super().forward(numbers, missing, codes).squeeze(0)


class Detached(Linear):
    """Cannot learn."""

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs] that no gradient goes through."""
        return super().forward(numbers, missing, codes).detach()


class Tied(Linear):
    """Has one parameter under two names."""

    def __init__(self, inputs: ModelInputs) -> None:
        super().__init__(inputs)
        self.same = self.layer


def wide(inputs: ModelInputs) -> nn.Module:
    """Return a network with an output too many."""
    made = Linear(inputs)
    made.layer = nn.Linear(inputs.width + len(inputs.nullable), inputs.outputs + 1)
    return made


def double(inputs: ModelInputs) -> nn.Module:
    """Return a network in double precision."""
    return Linear(inputs).double()


def bare(inputs: ModelInputs) -> nn.Module:
    """Return a network without parameters."""
    del inputs
    return nn.Identity()


def broken(inputs: ModelInputs) -> nn.Module:
    """Raise, as a factory may."""
    raise RuntimeError(f"no such backbone\nfor {inputs.task}")


def nothing(inputs: ModelInputs) -> Any:
    """Return no network."""
    return {"inputs": inputs}
