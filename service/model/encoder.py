"""What turns an event's columns into a network's inputs: it travels with the weights, frozen at their training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.features import FeatureColumns
from service.model.vocabulary import FIRST_CODE, UNKNOWN, Categories
from service.records import FloatArray, IntArray
from service.settings import Network, Schema, Task

LIMIT = 10.0
"""Standardised numbers are clipped here, so that one absurd value cannot swamp a network."""

RAW_LIMIT = 1e9
"""Numbers that go to a network as they come are clipped here: their squares must fit single precision."""

LEAST_ROOM = 8

Inputs = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Encoder:
    """Task, schema, labels, vocabulary and scales of one checkpoint; equal is only what is the same.

    ``means`` and ``scales`` [width]; ``target_mean`` and ``target_scale`` are 0 and 1 but for a regression.
    ``edges`` [numeric, bins + 1] are quantiles of the numeric features, None where nothing is binned.
    """

    task: Task
    schema: Schema
    network: Network
    labels: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    means: FloatArray
    scales: FloatArray
    target_mean: float = 0.0
    target_scale: float = 1.0
    edges: FloatArray | None = None

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an event."""
        return 1 if self.task == "regression" else len(self.labels)

    @property
    def room(self) -> int:
        """How many codes a categorical feature can have in a network.

        In the built-in one a power of two, so that it seldom grows; in a module of the user's all that there can be, so
        that it never does.
        """
        if self.network.module is not None:
            return self.network.max_categories + FIRST_CODE
        return max(self.rooms, default=LEAST_ROOM)

    @property
    def rooms(self) -> list[int]:
        """How many codes each categorical feature has room for now, a power of two."""
        sizes = [len(known) + FIRST_CODE for known in self.categories.values()]
        return [max(LEAST_ROOM, 1 << (size - 1).bit_length()) for size in sizes]

    def standard_edges(self) -> NDArray[np.float32]:
        """Return the edges in standard deviations, as the network sees numbers; there must be some."""
        edges = np.zeros((0, 1)) if self.edges is None else self.edges
        count = len(edges)
        return self._standard(edges, self.means[:count, None], self.scales[:count, None]).astype(np.float32)

    @cached_property
    def nullable_numbers(self) -> list[int]:
        """Columns of numbers that may be missing, and so have a flag of their own; of a vector the first."""
        columns = self.columns()
        first = {name: index for index, name in enumerate(columns.numbers)}
        first |= {name: place.start for name, place in columns.vectors.items()}
        return [index for name, index in first.items() if name in columns.nullable]

    def inputs(self, numbers: FloatArray, codes: IntArray) -> Inputs:
        """Turn numbers [n, N] and codes [n, C] into a network's inputs; codes newer than this encoder are unknown."""
        absent = ~np.isfinite(numbers)
        standard = self._standard(numbers, self.means, self.scales)
        standard[absent] = 0.0
        old = np.where(codes < self._sizes, codes, UNKNOWN) if len(self._sizes) else codes
        return (
            torch.from_numpy(standard.astype(np.float32)),
            torch.from_numpy(absent[:, self.nullable_numbers].astype(np.float32)),
            torch.from_numpy(old),
        )

    @cached_property
    def _sizes(self) -> IntArray:
        """How many codes of each categorical feature this encoder knows, the two special ones counted."""
        return np.array([len(known) + FIRST_CODE for known in self.categories.values()], dtype=np.int64)

    def standard_targets(self, targets: FloatArray) -> NDArray[np.float32]:
        """Return a regression's targets [n] as its network learns them, clipped as its inputs are."""
        return self._standard(targets, self.target_mean, self.target_scale).astype(np.float32)

    def _standard(self, values: FloatArray, means: FloatArray | float, scales: FloatArray | float) -> FloatArray:
        """Return values about 0 in units of their scales, clipped; or as they are, for a network that wants them so."""
        if not self.network.standardises:
            return np.clip(values, -RAW_LIMIT, RAW_LIMIT)
        with np.errstate(over="ignore"):  # what overflows is clipped
            return np.clip((values - means) / scales, -LIMIT, LIMIT)

    def vocabulary(self) -> Categories:
        """Return the categories as they were, for reading text at serving time."""
        return Categories.from_json(self.categories, self.network.max_categories)

    def columns(self) -> FeatureColumns:
        """Return the schema's columns."""
        return FeatureColumns(self.schema)

    @property
    def _normalise(self) -> bool | None:
        """What says whether numbers are standardised, also once nobody knows whether there were weights."""
        return None if self.network.module is None else self.network.standardises

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values; it is made once, and not to be changed."""
        return self._json

    @cached_property
    def _json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "schema": self.schema.model_dump(mode="json"),
            # Not where the weights once came from: they are here, and a path is one machine's own.
            "network": self.network.model_dump(mode="json", exclude={"weights"}) | {"normalise": self._normalise},
            "labels": list(self.labels),
            "categories": {name: list(known) for name, known in self.categories.items()},
            "means": self.means.tolist(),
            "scales": self.scales.tolist(),
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
            "edges": None if self.edges is None else self.edges.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the encoder that ``to_json`` described."""
        return cls(
            task=cast("Task", value["task"]),
            schema=Schema.model_validate(value["schema"]),
            network=Network.model_validate(value["network"]),
            labels=tuple(value["labels"]),
            categories={name: tuple(known) for name, known in value["categories"].items()},
            means=np.array(value["means"], dtype=np.float64),
            scales=np.array(value["scales"], dtype=np.float64),
            target_mean=float(value["target_mean"]),
            target_scale=float(value["target_scale"]),
            edges=None if value.get("edges") is None else np.array(value["edges"], dtype=np.float64),
        )
