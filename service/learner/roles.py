"""Who is who: champion, its predecessor, the frozen pre-trained model, and the challengers' lineages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from service.model.encoder import Encoder
from service.model.learned import LearnedModel, Weights, build_network, load_weights
from service.records import Examples, Partition, Scores
from service.settings import Train
from service.train.round import Recipe, Trained
from service.window.drift import Reference

LEAD = "main"
"""Name of the only challenger until a portfolio joins it."""


@dataclass(frozen=True)
class Standing:
    """A published checkpoint's model, with the data drift reference of its training data.

    ``follows`` tells, by partition, the offset after the last that it and its ancestors have learnt from.
    """

    checkpoint_id: str
    model: LearnedModel
    reference: Reference
    follows: Mapping[Partition, int] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Lineage:
    """A challenger as its last round left it; without a model it has not been trained yet."""

    recipe: Recipe
    model: LearnedModel | None = None
    weights: Weights | None = None
    moments: dict[str, NDArray[Any]] = field(default_factory=dict)

    def after(self, trained: Trained, encoder: Encoder) -> "Lineage":
        """Return the lineage as a round has left it."""
        return Lineage(self.recipe, model_of(encoder, trained.weights), trained.weights, trained.moments)

    def restarted(self, champion: LearnedModel) -> "Lineage":
        """Return the lineage set back to the champion's weights, with fresh moments."""
        return Lineage(self.recipe, champion, champion.weights())


@dataclass
class Roles:
    """The models in their roles. Champion, previous and frozen are None until there are checkpoints."""

    champion: Standing | None = None
    previous: Standing | None = None
    frozen: Standing | None = None
    lineages: dict[str, Lineage] = field(default_factory=dict)

    def score(self, examples: Examples) -> tuple[dict[str, Scores], dict[str, Scores]]:
        """Score arriving examples by every role and every challenger; a model in two roles is run once."""
        known: dict[int, Scores] = {}

        def once(model: LearnedModel) -> Scores:
            return known.setdefault(id(model), known.get(id(model)) or model.score(examples))

        standing = {"champion": self.champion, "previous": self.previous, "frozen": self.frozen}
        roles = {role: once(one.model) for role, one in standing.items() if one is not None}
        challengers = {name: once(one.model) for name, one in self.lineages.items() if one.model is not None}
        return roles, challengers

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


def new_lineages(settings: Train, window_events: int, start: LearnedModel | None = None) -> dict[str, Lineage]:
    """Return the challengers of a new state: one, from the champion's weights when there is a champion."""
    recipe = Recipe(settings.learning_rate, settings.replay_share, window_events)
    lineage = Lineage(recipe)
    return {LEAD: lineage.restarted(start) if start is not None else lineage}


def model_of(encoder: Encoder, weights: Weights) -> LearnedModel:
    """Return the model of an encoder and weights; raises ValueError when they do not fit."""
    network = build_network(encoder)
    load_weights(network, weights)
    return LearnedModel(encoder, network)
