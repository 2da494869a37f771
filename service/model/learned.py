"""A network with its encoder: what a checkpoint holds, what scores arriving events and what answers requests."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.model.encoder import Encoder
from service.model.network import TabularNetwork
from service.records import Examples, FloatArray, IntArray, Scores

CHUNK_ROWS = 8_192
"""Rows of one forward pass; bounds memory, and costs nothing at this size."""

LARGEST_ERROR = 1e100
"""What an error of a regression counts as at most: squares and sums of many such must still be numbers."""

Weights = dict[str, NDArray[np.float32]]


class LearnedModel:
    """Weights that were trained once and do not change any more; safe to share between threads."""

    def __init__(self, encoder: Encoder, network: nn.Module) -> None:
        self.encoder = encoder
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.task = encoder.task
        self.labels = encoder.labels
        self.columns = encoder.columns()
        self.categories = encoder.vocabulary()

    @classmethod
    def from_parts(cls, tensors: Mapping[str, NDArray[Any]], encoder: Mapping[str, Any]) -> Self:
        """Return the model that a checkpoint's tensors and encoder describe.

        Raises ValueError when they do not fit one another.
        """
        described = Encoder.from_json(encoder)
        network = build_network(described)
        load_weights(network, tensors)
        return cls(described, network)

    def weights(self) -> Weights:
        """Return the network's parameters and buffers by name."""
        return weights_of(self.network)

    def predict(self, numbers: FloatArray, codes: IntArray) -> FloatArray:
        """Return probabilities [n, labels], or for a regression values [n, 1] in label units."""
        with torch.inference_mode():
            out = self._forward(numbers, codes)
            if self.task == "regression":
                return out.double().numpy() * self.encoder.target_scale + self.encoder.target_mean
            return torch.softmax(out.double(), dim=1).numpy()

    def score(self, examples: Examples) -> Scores:
        """Return how well the model predicts examples that it has not learnt."""
        with torch.inference_mode():
            out = self._forward(examples.numbers, examples.codes)
            if self.task == "regression":
                values = out.double().numpy()[:, 0] * self.encoder.target_scale + self.encoder.target_mean
                errors = np.minimum(np.abs(values - examples.targets), LARGEST_ERROR)
                return Scores(losses=errors**2, errors=errors)
            targets = torch.from_numpy(examples.targets.astype(np.int64))
            losses = nn.functional.cross_entropy(out, targets, reduction="none")
            wrong = out.argmax(dim=1) != targets
            return Scores(losses=losses.double().numpy(), errors=wrong.double().numpy())

    def _forward(self, numbers: FloatArray, codes: IntArray) -> Tensor:
        chunks = [
            self.network(*self.encoder.inputs(numbers[start : start + CHUNK_ROWS], codes[start : start + CHUNK_ROWS]))
            for start in range(0, max(len(numbers), 1), CHUNK_ROWS)
        ]
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)


def build_network(encoder: Encoder) -> TabularNetwork:
    """Return a network of the encoder's architecture, with fresh weights from torch's current seed."""
    numbers = len(encoder.schema.numeric) + len(encoder.schema.boolean)
    return TabularNetwork(
        numbers, len(encoder.nullable_numbers), len(encoder.categories), encoder.outputs, encoder.network
    )


def weights_of(network: nn.Module) -> Weights:
    """Return a copy of a network's parameters and buffers by name."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in network.state_dict().items()}


def load_weights(network: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Copy weights into a network; raises ValueError when names or shapes differ from its own."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the network: {str(error).splitlines()[-1].strip()}") from None
