"""The built-in network for tabular events."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from service.settings import Network


class TabularNetwork(nn.Module):
    """A multilayer perceptron over standardised numbers, flags of missing numbers and embedded categories.

    ``forward(numbers [n, N] float32, missing [n, M] float32, codes [n, C] int64)`` returns [n, outputs] float32:
    logits of a classification, the standardised value of a regression. Every categorical feature has room for
    ``settings.max_categories`` values from the start, so that a lineage's shapes never change.
    """

    def __init__(self, numbers: int, missing: int, categories: int, outputs: int, settings: Network) -> None:
        super().__init__()
        room = settings.max_categories + 2
        self.embeddings = nn.ModuleList(nn.Embedding(room, settings.embedding_width) for _ in range(categories))
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)  # type: ignore[arg-type]  # ModuleList forgets its item type
        width = numbers + missing + categories * settings.embedding_width
        layers: list[nn.Module] = []
        for hidden in settings.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            if settings.dropout:
                layers.append(nn.Dropout(settings.dropout))
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Return [n, outputs]."""
        parts: Sequence[Tensor] = [numbers, missing]
        parts = [*parts, *(embed(codes[:, index]) for index, embed in enumerate(self.embeddings))]
        whole = torch.cat(parts, dim=1)
        return self.layers(whole)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
