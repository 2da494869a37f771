"""The sections `train.model` and `train.strategy`: which network, and how much of it is trained."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from service.settings.base import Section, Share, Text
from service.settings.checks import clash

WHOLE = ("full", "head")


class Network(Section):
    """The network: the built-in one for tables, or a module of your own."""

    hidden: Annotated[tuple[Annotated[int, Field(ge=1, le=4_096)], ...], Field(min_length=1, max_length=8)] = Field(
        (64, 32), description="width of each hidden layer of the built-in network"
    )
    embedding_width: Annotated[int, Field(ge=1, le=256)] = Field(
        8, description="numbers per category of the built-in network"
    )
    max_categories: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000, description="known values per categorical feature; later ones share the unknown bucket"
    )
    dropout: Share = Field(
        0.0, description="share of the built-in network's hidden units silenced in training (Srivastava et al. 2014)"
    )
    module: Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+(\.\w+)*$")] | None = Field(
        None, description="`package.module:factory`, which makes a torch module of your own; null: the built-in network"
    )
    weights: Path | None = Field(
        None, description="its pre-trained weights, a safetensors file; they serve and are learnt on from the start"
    )
    arguments: dict[str, JsonValue] = Field({}, description="keyword arguments that its factory is called with")
    normalise: bool | None = Field(
        None, description="whether it sees standardised numbers, or as they come; null: standardised unless `weights`"
    )

    @model_validator(mode="after")
    def _these_are_for_a_module(self) -> Self:
        if self.module is None:
            for key, given in (
                ("weights", self.weights is not None),
                ("arguments", bool(self.arguments)),
                ("normalise", self.normalise is not None),
            ):
                if given:
                    message = f"train.model.{key} is for a network of your own; name it in train.model.module"
                    raise clash(message, f"train.model.{key}")
        return self

    @property
    def standardises(self) -> bool:
        """Whether the network sees numbers standardised by the stream's running statistics."""
        return self.weights is None if self.normalise is None else self.normalise


class Layers(Section):
    """Parameters by name."""

    layers: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="patterns over names of parameters, in which `*` stands for any text"
    )


def _strategy(value: Any) -> Any:  # noqa: ANN401 - YAML holds anything
    """Return what can only be a strategy; a union's own errors would name each of its branches."""
    if isinstance(value, Layers) or (isinstance(value, str) and value in WHOLE):
        return value
    patterns = value.get("layers") if isinstance(value, dict) and value.keys() == {"layers"} else None
    if isinstance(patterns, list | tuple) and patterns and all(isinstance(one, str) and one for one in patterns):
        return value
    message = f"{value!r} does not fit; expected full, head, or a list of patterns as in {{layers: ['encoder.*']}}"
    raise ValueError(message)


Strategy = Annotated[Literal["full", "head"] | Layers, BeforeValidator(_strategy)]
