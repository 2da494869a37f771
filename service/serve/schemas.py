"""The forms of answers, and of requests as the configured features shape them: what /docs shows."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.settings import Schema, Settings, Task

EXAMPLE_ID = "20260131T093000-000042"
EXAMPLE_TIME = "2026-01-31T09:30:00.250Z"


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _absent_if_none(schema: dict[str, Any]) -> None:
    """Describe ``warnings`` as it is sent: never null, but absent."""
    schema["required"].remove("warnings")


class Prediction(Answer):
    """What the model says of one instance."""

    model_config = ConfigDict(json_schema_extra=_absent_if_none)

    label: str | float = Field(description="the likeliest label; for a regression the value itself")
    scores: dict[str, float] = Field(description="every label's probability; for a regression `value` alone")
    warnings: list[str] | None = Field(
        None, description="what the model has never seen, such as a new category; absent if there is nothing to say"
    )


class CheckpointName(Answer):
    """Which checkpoint answered."""

    id: str = Field(examples=[EXAMPLE_ID])
    trained_until: str | None = Field(
        examples=[EXAMPLE_TIME], description="UTC; the newest event that it was trained on"
    )


class PredictAnswer(Answer):
    """Predictions in the order of the instances, all of them by one checkpoint."""

    predictions: list[Prediction]
    checkpoint: CheckpointName


class RejectedEvent(Answer):
    """An event that did not fit."""

    index: int = Field(description="its place in the request, from 0")
    reason: str = Field(examples=["missing_feature"])


class EventsAnswer(Answer):
    """What became of the events; the accepted ones are durable, the rejected ones are dead-lettered."""

    accepted: int
    rejected: list[RejectedEvent]


class ServingStatus(Answer):
    """The checkpoint that answers."""

    id: str = Field(examples=[EXAMPLE_ID])
    since: str = Field(examples=[EXAMPLE_TIME], description="when this server began to answer from it")
    round: int = Field(description="the round of training that made it")
    created_at: str = Field(examples=[EXAMPLE_TIME])
    trained_until: str | None = Field(examples=[EXAMPLE_TIME])
    labels: list[str] = Field(description="in the order of its outputs; empty for a regression")


class Latest(Answer):
    """Where the store's pointer stands."""

    id: str = Field(examples=[EXAMPLE_ID])
    previous: str | None
    at: str = Field(examples=[EXAMPLE_TIME])
    by: str = Field(description="who moved it")
    reason: str


class StatusAnswer(Answer):
    """How this server and its trainer fare."""

    task: Task
    model_name: str
    version: str = Field(description="of Freshet")
    serving: ServingStatus | None = Field(description="null until a checkpoint serves")
    latest: Latest | None = Field(description="null without a checkpoint, or while the store cannot be read")
    trouble: str | None = Field(description="why the latest checkpoint does not serve, if it does not")
    trainer: dict[str, Any] | None = Field(
        description="what the trainer last wrote of itself, with `age_seconds` and `stale`; null if it never did"
    )


class CheckpointEntry(Answer):
    """One checkpoint of the store."""

    id: str = Field(examples=[EXAMPLE_ID])
    serving: bool = Field(description="this server answers from it")
    latest: bool = Field(description="the store's pointer names it")
    round: int | None
    created_at: str | None = Field(examples=[EXAMPLE_TIME])
    trained_until: str | None = Field(examples=[EXAMPLE_TIME])
    trigger: str | None = Field(examples=["new_events"], description="why its round began")
    problem: str | None = Field(description="why it cannot be served, if it cannot")


class CheckpointsAnswer(Answer):
    """The store's checkpoints, newest first."""

    checkpoints: list[CheckpointEntry]


class FieldFault(Answer):
    """One field at fault."""

    pointer: str = Field(examples=["/instances/0/age"], description="JSON pointer into the request's body (RFC 6901)")
    detail: str = Field(examples=["age is missing"])


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["age is missing"])
    errors: list[FieldFault] | None = Field(None, description="the fields at fault, where there are any")
    request_id: str = Field(description="the answer's X-Request-ID: what to look for in the log")


def predict_body(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI request body of a prediction, with the configured features."""
    features = settings.schema_
    return _body("instances", _features_form(features), _example_features(features))


def events_body(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI request body of labelled events, with the configured features."""
    features, labels = settings.schema_, list(settings.schema_.labels)
    if settings.task == "regression":
        label: dict[str, Any] = {"type": "number", "example": 1.5}
    else:
        label = {"enum": labels, "example": labels[0]} if labels else {"type": "string", "example": "yes"}
    form = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "identity of the event"},
            "ts": {"description": "epoch milliseconds or RFC 3339; else the time of arrival"},
            "features": _features_form(features),
            "label": label,
        },
        "required": ["features", "label"],
    }
    anything = {"description": "whatever does not fit is dead-lettered, and named in `rejected`"}
    return _body(
        "events",
        {"anyOf": [form, anything]},
        {"ts": EXAMPLE_TIME, "features": _example_features(features), "label": label["example"]},
    )


def _body(key: str, item: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {key: {"type": "array", "minItems": 1, "items": item}},
        "required": [key],
        "additionalProperties": False,
        "example": {key: [example]},
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": form}}}}


def _features_form(schema: Schema) -> dict[str, Any]:
    forms: dict[str, dict[str, Any]] = {name: {"type": "number"} for name in schema.numeric}
    forms |= {name: {"type": "boolean"} for name in schema.boolean}
    for name, length in schema.vector.items():
        forms[name] = {"type": "array", "items": {"type": "number"}, "minItems": length, "maxItems": length}
    forms |= {name: {"type": "string"} for name in schema.categorical}
    return {
        "type": "object",
        "properties": {
            name: form | {"type": [form["type"], "null"]} if name in schema.nullable else form
            for name, form in forms.items()
        },
        "required": [name for name in schema.names if name not in schema.nullable],
        "additionalProperties": False,
    }


def _example_features(schema: Schema) -> dict[str, Any]:
    return {
        **dict.fromkeys(schema.numeric, 1.5),
        **dict.fromkeys(schema.boolean, True),
        **{name: [1.5] * length for name, length in schema.vector.items()},
        **dict.fromkeys(schema.categorical, "text"),
    }
