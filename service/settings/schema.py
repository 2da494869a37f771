"""The `schema` section: which features an event has, and what its label is."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from service.settings.base import Section, Text
from service.settings.checks import clash

Task = Literal["binary", "multiclass", "regression"]
BINARY_CLASSES = 2


def label_text(value: Any) -> Any:  # noqa: ANN401 - a label in YAML or JSON may be any scalar
    """Return a scalar label as the text it is compared by (``true`` for True, ``1`` for 1); leave others alone."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Label = Annotated[str, BeforeValidator(label_text)]
Length = Annotated[int, Field(ge=1, le=65_536)]
KINDS = ("numeric", "boolean", "vector", "categorical")


class Schema(Section):
    """Which features an event has, and what its label is."""

    numeric: tuple[Text, ...] = Field((), description="features that are numbers")
    categorical: tuple[Text, ...] = Field((), description="features that are text; unknown values are data")
    boolean: tuple[Text, ...] = Field((), description="features that are true or false")
    vector: dict[Text, Length] = Field({}, description="features that are lists of numbers, and how long each list is")
    nullable: tuple[Text, ...] = Field((), description="features that may be missing (null or absent)")
    label: Text = Field("label", description="the label's column in files; on the wire it is always `label`")
    labels: tuple[Label, ...] = Field((), description="all labels; left empty, the first checkpoint fixes the set")

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"feature {twice[0]!r} is listed twice; list each feature under one kind"
            raise clash(message, *(f"schema.{kind}" for kind in KINDS if twice[0] in getattr(self, kind)))
        if self.label in names:
            message = (
                f"schema.label names the feature {self.label!r}; take it out of the features, or name another column"
            )
            raise clash(
                message, "schema.label", *(f"schema.{kind}" for kind in KINDS if self.label in getattr(self, kind))
            )
        strangers = sorted(set(self.nullable) - set(names))
        if strangers:
            message = f"schema.nullable names {strangers[0]!r}, which is no feature; list it under a kind too"
            raise clash(message, "schema.nullable")
        if len(set(self.labels)) != len(self.labels):
            raise clash("schema.labels has a label twice; list each once", "schema.labels")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All features, in column order: numeric, boolean, vectors, categorical."""
        return self.numeric + self.boolean + tuple(self.vector) + self.categorical
