"""A network with its encoder: what a checkpoint holds, what scores arriving events and what answers requests."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.encoder import Encoder
from service.model.ensemble import Ensemble, Shape, build_network
from service.model.members import Weights
from service.records import Examples, FloatArray, IntArray, Scores

CHUNK_ROWS = 8_192
"""Rows of one forward pass; bounds memory, and costs nothing at this size."""

LARGEST_ERROR = 1e100
"""What an error of a regression counts as at most: squares and sums of many such must still be numbers."""

LEAST_PROBABILITY = 1e-7
"""A mixture's probabilities end here: single precision cannot tell smaller ones from none."""

MIXTURE = "mixture"
"""Under this name a checkpoint keeps the members' weights in the mixture [M]; a single member has none."""


class LearnedModel:
    """Networks that were trained once and do not change any more; safe to share between threads.

    It has M members and predicts by their mixture: probabilities (values of a regression) averaged by ``shares`` [M].
    """

    def __init__(self, encoder: Encoder, network: Ensemble, shares: FloatArray | None = None) -> None:
        self.encoder = encoder
        self.network = network
        equal = np.full(network.count, 1 / network.count)
        self.shares = equal if shares is None else shares
        self._shares = torch.from_numpy(self.shares.astype(np.float32))[:, None, None]
        self.task = encoder.task
        self.labels = encoder.labels
        self.columns = encoder.columns()
        self.categories = encoder.vocabulary()

    @classmethod
    def from_parts(cls, tensors: Mapping[str, NDArray[Any]], encoder: Mapping[str, Any]) -> Self:
        """Return the model that a checkpoint's tensors and encoder describe.

        Raises ValueError when they do not fit one another.
        """
        return cls.of_members(Encoder.from_json(encoder), *split_members(tensors))

    @classmethod
    def of_members(
        cls, encoder: Encoder, members: Sequence[Mapping[str, NDArray[Any]]], shares: FloatArray | None = None
    ) -> Self:
        """Return the model of each member's weights; raises ValueError when they do not fit the encoder."""
        network = build_network(encoder, [Shape.of_weights(weights) for weights in members], fresh=False)
        network.load(members)
        return cls(encoder, network, shares)

    def mixed(self, shares: FloatArray) -> Self:
        """Return the same members under another mixture; the networks are shared."""
        return type(self)(self.encoder, self.network, shares)

    def weights(self) -> Weights:
        """Return the members' parameters and buffers by name, and their shares, as ``split_members`` takes them."""
        members = self.network.members()
        if len(members) == 1:
            return members[0]
        named = {f"{index}/{name}": array for index, own in enumerate(members) for name, array in own.items()}
        return named | {MIXTURE: self.shares.astype(np.float32)}

    def predict(self, numbers: FloatArray, codes: IntArray) -> FloatArray:
        """Return probabilities [n, labels], or for a regression values [n, 1] in label units."""
        with torch.inference_mode():
            outs = [self._mixture(self._activated(out))[0] for out in self._forward(numbers, codes)]
            out = torch.cat(outs).double()
            if self.task == "regression":
                return out.numpy() * self.encoder.target_scale + self.encoder.target_mean
            return (out / out.sum(dim=1, keepdim=True)).numpy()

    def score(self, examples: Examples) -> Scores:
        """Return how well the model predicts examples that it has not learnt."""
        return self.score_members(examples)[0]

    def score_members(self, examples: Examples) -> tuple[Scores, FloatArray]:
        """Return the scores of the mixture, and each member's own losses [M, n].

        They are log-losses in nats, or half the squared error in squared standard deviations of the target.
        """
        score = self._score_values if self.task == "regression" else self._score_labels
        parts, begin = [], 0
        with torch.inference_mode():
            for out in self._forward(examples.numbers, examples.codes):
                end = begin + out.shape[1]
                parts.append(score(out, examples.targets[begin:end]))
                begin = end
        if len(parts) == 1:
            return parts[0]
        whole = [np.concatenate(columns) for columns in zip(*(_columns(scores) for scores, _ in parts), strict=True)]
        return Scores(*whole), np.concatenate([own for _, own in parts], axis=1)

    def _score_labels(self, out: Tensor, targets: FloatArray) -> tuple[Scores, FloatArray]:
        wanted = torch.from_numpy(targets.astype(np.int64))
        each = self._activated(out)
        mixed, shared = self._mixture(each)
        right = wanted[:, None]
        losses = -mixed.gather(1, right)[:, 0].clamp_min(LEAST_PROBABILITY).log()
        likeliest = mixed.argmax(dim=1)
        wrong = likeliest != wanted
        # Written so that a NaN stays one: what a broken network scores must never look like a number.
        own = losses[None] if shared else -each.gather(2, right.expand(len(each), -1, 1))[..., 0].clamp_min(1e-30).log()
        return Scores(_double(losses), _double(wrong), _double(likeliest)), _double(own)

    def _score_values(self, out: Tensor, targets: FloatArray) -> tuple[Scores, FloatArray]:
        mixed, _ = self._mixture(out)
        values = _double(mixed[:, 0]) * self.encoder.target_scale + self.encoder.target_mean
        errors = np.minimum(np.abs(values - targets), LARGEST_ERROR)
        standard = self.encoder.standard_targets(targets)
        return Scores(errors**2, errors, values), (_double(out[..., 0]) - standard) ** 2 / 2

    def _activated(self, out: Tensor) -> Tensor:
        return out if self.task == "regression" else torch.softmax(out, dim=2)

    def _mixture(self, each: Tensor) -> tuple[Tensor, bool]:
        """Return the mixture [n, outputs] of [M, n, outputs], and whether it is that of its only member."""
        if len(each) == 1:
            return each[0], True
        return (each * self._shares).sum(dim=0), False

    def _forward(self, numbers: FloatArray, codes: IntArray) -> Iterator[Tensor]:
        """Yield the members' outputs [M, rows, outputs], chunk by chunk."""
        for start in range(0, max(len(numbers), 1), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            yield self.network(*self.encoder.inputs(numbers[rows], codes[rows]))


def split_members(tensors: Mapping[str, NDArray[Any]]) -> tuple[list[Weights], FloatArray | None]:
    """Return each member's weights and their shares in the mixture, from a checkpoint's tensors.

    Raises ValueError when a member is missing.
    """
    if MIXTURE not in tensors:
        return [dict(tensors)], None
    shares = np.array(tensors[MIXTURE], dtype=np.float64)
    members: list[Weights] = [{} for _ in shares]
    for name, array in tensors.items():
        if name == MIXTURE:
            continue
        index, slash, own = name.partition("/")
        if not slash or not index.isdigit() or int(index) >= len(members):
            raise ValueError(f"the weights do not fit the network: {name} belongs to none of {len(members)} members")
        members[int(index)][own] = array
    return members, shares


def _double(values: Tensor) -> FloatArray:
    return values.double().numpy()


def _columns(scores: Scores) -> tuple[FloatArray, FloatArray, FloatArray]:
    if scores.predicted is None:
        raise TypeError("a model's scores always say what it predicted")
    return scores.losses, scores.errors, scores.predicted
