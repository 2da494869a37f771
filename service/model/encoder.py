"""What turns an event's columns into a network's inputs: it travels with the weights, frozen at their training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.model.features import FeatureColumns
from service.model.vocabulary import UNKNOWN, Categories
from service.records import FloatArray, IntArray
from service.settings import Network, Schema, Task

LIMIT = 10.0
"""Standardised numbers are clipped here, so that one absurd value cannot swamp a network."""

Inputs = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Encoder:
    """Task, schema, labels, vocabulary and scales of one checkpoint.

    ``means`` and ``scales`` [numeric + boolean]; ``target_mean`` and ``target_scale`` are 0 and 1 but for a regression.
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

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an event."""
        return 1 if self.task == "regression" else len(self.labels)

    @property
    def nullable_numbers(self) -> list[int]:
        """Columns of numbers that may be missing, and so have a flag of their own."""
        numbers = self.schema.numeric + self.schema.boolean
        return [index for index, name in enumerate(numbers) if name in self.schema.nullable]

    def inputs(self, numbers: FloatArray, codes: IntArray) -> Inputs:
        """Turn numbers [n, N] and codes [n, C] into a network's inputs; codes newer than this encoder are unknown."""
        absent = ~np.isfinite(numbers)
        with np.errstate(over="ignore"):  # what overflows is clipped
            standard = np.clip((numbers - self.means) / self.scales, -LIMIT, LIMIT)
        standard[absent] = 0.0
        sizes = np.array([len(known) + 2 for known in self.categories.values()], dtype=np.int64)
        old = np.where(codes < sizes, codes, UNKNOWN) if len(sizes) else codes
        return (
            torch.from_numpy(standard.astype(np.float32)),
            torch.from_numpy(absent[:, self.nullable_numbers].astype(np.float32)),
            torch.from_numpy(old),
        )

    def standard_targets(self, targets: FloatArray) -> NDArray[np.float32]:
        """Return a regression's targets [n] as its network learns them, clipped as its inputs are."""
        with np.errstate(over="ignore"):
            standard = np.clip((targets - self.target_mean) / self.target_scale, -LIMIT, LIMIT)
        return standard.astype(np.float32)

    def vocabulary(self) -> Categories:
        """Return the categories as they were, for reading text at serving time."""
        return Categories.from_json(self.categories, self.network.max_categories)

    def columns(self) -> FeatureColumns:
        """Return the schema's columns."""
        return FeatureColumns(self.schema)

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        return {
            "task": self.task,
            "schema": self.schema.model_dump(mode="json"),
            "network": self.network.model_dump(mode="json"),
            "labels": list(self.labels),
            "categories": {name: list(known) for name, known in self.categories.items()},
            "means": self.means.tolist(),
            "scales": self.scales.tolist(),
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
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
        )
