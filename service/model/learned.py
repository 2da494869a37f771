"""A network with its encoder: what a checkpoint holds, what scores arriving events and what answers requests."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.asked import Asked, chunks
from service.model.encoder import Encoder
from service.model.ensemble import Ensemble, Shape, build_network
from service.model.features import FeatureColumns
from service.model.members import Weights
from service.model.vocabulary import Categories
from service.records import Examples, FloatArray, IntArray, Scores

LARGEST_ERROR = 1e100
"""What an error of a regression counts as at most: squares and sums of many such must still be numbers."""

LEAST_PROBABILITY = 1e-7
"""A mixture's probabilities end here: single precision cannot tell smaller ones from none."""

LEAST_OWN_PROBABILITY = 1e-30
"""And a member's own, whose logarithm is taken of what one network says."""

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

    @cached_property
    def columns(self) -> FeatureColumns:
        """The schema's columns."""
        return self.encoder.columns()

    @cached_property
    def categories(self) -> Categories:
        """The categories as they were, for reading text at serving time."""
        return self.encoder.vocabulary()

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
            taken = chunks(self.encoder, self.network, numbers, codes)
            outs = [self._mixture(self._activated(self.network.outputs(prepared))) for prepared in taken]
            out = torch.cat(outs, dim=1).T.double()
            if self.task == "regression":
                return out.numpy() * self.encoder.target_scale + self.encoder.target_mean
            return (out / out.sum(dim=1, keepdim=True)).numpy()

    def score(self, examples: Examples | Asked) -> Scores:
        """Return how well the model predicts examples that it has not learnt."""
        with torch.inference_mode():
            return _joined([self._scores(each, targets) for each, targets in self._each(examples)])

    def score_members(self, examples: Examples | Asked) -> tuple[Scores, FloatArray]:
        """Return the scores of the mixture, and each member's own losses [M, n].

        They are log-losses in nats, or absolute errors of a regression in label units: what the gate judges by.
        """
        scores, own = [], []
        with torch.inference_mode():
            for each, targets in self._each(examples):
                scores.append(self._scores(each, targets))
                own.append(self._losses(each, targets))
        return _joined(scores), np.concatenate(own, axis=1)

    def _each(self, examples: Examples | Asked) -> Iterator[tuple[Tensor, FloatArray]]:
        """Yield what each member predicts [M, outputs, rows] and the targets [rows], chunk by chunk."""
        asked = examples if isinstance(examples, Asked) else Asked(examples)
        begin = 0
        for out in asked.answers(self.encoder, self.network):
            end = begin + out.shape[2]
            yield self._activated(out), asked.examples.targets[begin:end]
            begin = end

    def _scores(self, each: Tensor, targets: FloatArray) -> Scores:
        mixed = self._mixture(each)
        if self.task == "regression":
            values = self._values(mixed[0])
            errors = _errors(values, targets)
            return Scores(errors**2, errors, values)
        wanted = torch.from_numpy(targets.astype(np.int64))
        losses = -mixed.gather(0, wanted[None])[0].clamp_min(LEAST_PROBABILITY).log()
        likeliest = mixed.max(dim=0).indices  # far quicker than argmax where labels are few
        return Scores(_double(losses), _double(likeliest != wanted), _double(likeliest))

    def _values(self, out: Tensor) -> FloatArray:
        """Return a regression's answers in label units."""
        return _double(out) * self.encoder.target_scale + self.encoder.target_mean

    def _losses(self, each: Tensor, targets: FloatArray) -> FloatArray:
        if self.task == "regression":
            return _errors(self._values(each[:, 0]), targets)
        wanted = torch.from_numpy(targets.astype(np.int64)).expand(len(each), 1, -1)
        # Written so that a NaN stays one: what a broken network scores must never look like a number.
        return _double(-each.gather(1, wanted)[:, 0].clamp_min(LEAST_OWN_PROBABILITY).log())

    def _activated(self, out: Tensor) -> Tensor:
        return out if self.task == "regression" else torch.softmax(out, dim=1)

    def _mixture(self, each: Tensor) -> Tensor:
        """Return the mixture [outputs, n] of [M, outputs, n]."""
        return each[0] if len(each) == 1 else (each * self._shares).sum(dim=0)


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


def _errors(values: FloatArray, targets: FloatArray) -> FloatArray:
    return np.minimum(np.abs(values - targets), LARGEST_ERROR)


def _double(values: Tensor) -> FloatArray:
    return values.double().numpy()


def _joined(parts: Sequence[Scores]) -> Scores:
    if len(parts) == 1:
        return parts[0]
    return Scores(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))


def _columns(scores: Scores) -> tuple[FloatArray, FloatArray, FloatArray]:
    if scores.predicted is None:
        raise TypeError("a model's scores always say what it predicted")
    return scores.losses, scores.errors, scores.predicted
