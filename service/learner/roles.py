"""Who is who: champion, its predecessor, and the frozen pre-trained model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from service.drift.reference import Reference
from service.model.asked import Asked
from service.model.learned import LearnedModel
from service.model.members import Weights
from service.records import Partition, Scores

LEAD = "main"
"""Name of the challenger that the gate judges: the portfolio as it predicts together."""


@dataclass(frozen=True)
class Standing:
    """A published checkpoint's model, with the data drift reference of its training data.

    ``follows`` tells, by partition, the offset after the last that it and its ancestors have learnt from.
    """

    checkpoint_id: str
    model: LearnedModel
    reference: Reference
    follows: Mapping[Partition, int] = field(default_factory=dict)

    @cached_property
    def members(self) -> tuple[Weights, ...]:
        """The weights of the model's members; not to be changed."""
        return tuple(self.model.network.members())

    @classmethod
    def from_parts(
        cls,
        checkpoint_id: str,
        tensors: Mapping[str, NDArray[Any]],
        encoder: Mapping[str, Any],
        follows: Mapping[Partition, int] | None = None,
    ) -> "Standing":
        """Return what a checkpoint's parts describe; raises ValueError or KeyError when they do not fit."""
        model = LearnedModel.from_parts(tensors, encoder)
        return cls(checkpoint_id, model, Reference.from_json(encoder["reference"]), follows or {})


@dataclass
class Roles:
    """The models in their roles. Champion, previous and frozen are None until there are checkpoints."""

    champion: Standing | None = None
    previous: Standing | None = None
    frozen: Standing | None = None

    def score(self, arrived: Asked) -> dict[str, Scores]:
        """Score arriving examples by every role there is."""
        standing = {"champion": self.champion, "previous": self.previous, "frozen": self.frozen}
        return {role: one.model.score(arrived) for role, one in standing.items() if one is not None}

    def adopt(self, promoted: Standing) -> None:
        """Make a checkpoint the champion; the first one is the frozen model too."""
        if self.champion is not None and self.champion.checkpoint_id == promoted.checkpoint_id:
            return
        self.champion, self.previous = promoted, self.champion
        self.frozen = self.frozen or promoted

    def ids(self) -> dict[str, str | None]:
        """Return the checkpoint of each role."""
        standing = {"champion": self.champion, "previous": self.previous, "frozen": self.frozen}
        return {role: one.checkpoint_id if one else None for role, one in standing.items()}
