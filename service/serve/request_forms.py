"""The forms of requests as the configured features shape them, with an example: what /docs shows."""

from typing import Any

from service.serve.schemas import EXAMPLE_TIME
from service.settings import Schema, Settings


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
        {"id": "42", "ts": EXAMPLE_TIME, "features": _example_features(features), "label": label["example"]},
    )


def example_prediction(settings: Settings) -> dict[str, Any]:
    """Return what the model could say of the instance in the description."""
    if settings.task == "regression":
        return {"label": 1.5, "scores": {"value": 1.5}}
    labels = settings.schema_.labels or ("no", "yes")
    others = dict.fromkeys(labels[1:], 0.25 / max(1, len(labels) - 1))
    return {"label": labels[0], "scores": {labels[0]: 0.75, **others}}


def _body(key: str, item: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {key: {"type": "array", "minItems": 1, "items": item}},
        "required": [key],
        "additionalProperties": False,
    }
    content = {"application/json": {"schema": form, "example": {key: [example]}}}
    return {"requestBody": {"required": True, "content": content}}


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
