"""Examples for the description: one for every request, answer and parameter, made from its schema and what that says.

Whoever adds a route gets them by themselves; ``examples`` on a field make them better. A test holds each against its
schema, and sends each request's to a real server.
"""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from service.serve.problems import MEDIA_TYPE, FieldError, pointer, problem
from service.serve.request_forms import example_prediction
from service.serve.schemas import EXAMPLE_ID, EXAMPLE_TIME
from service.settings import Settings

REFERENCE = "#/components/schemas/"
REQUEST = "4f0c6f1ab0a94ce2b7f1c5f3c6f2a7d1"

DETAILS = {
    HTTPStatus.BAD_REQUEST: "this is not an HTTP request: it needs one Host header",
    HTTPStatus.UNAUTHORIZED: (
        "this needs a token of role admin: send Authorization: Bearer and a token that is known here"
    ),
    HTTPStatus.FORBIDDEN: "this needs a token of role admin, and no serve.tokens_file is configured",
    HTTPStatus.NOT_FOUND: f"there is no checkpoint {EXAMPLE_ID!r}; GET /v1/checkpoints lists those there are",
    HTTPStatus.METHOD_NOT_ALLOWED: "/v1/status does not answer POST; /docs lists the routes",
    HTTPStatus.REQUEST_TIMEOUT: "no whole request within 10 s",
    HTTPStatus.CONFLICT: f"it could not serve: checkpoint {EXAMPLE_ID}: model.safetensors: damaged, its digest differs",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than 16777216 bytes; send it in parts",
    HTTPStatus.REQUEST_URI_TOO_LONG: "the request's target is longer than 8192 bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (
        "the body is declared as text/plain; send it with Content-Type: application/json"
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: "the request does not have the form that /docs shows",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request has more than 100 headers, or 16384 bytes of them",
    HTTPStatus.INTERNAL_SERVER_ERROR: f"an error on our side, logged as request {REQUEST}; please report it",
    HTTPStatus.SERVICE_UNAVAILABLE: "there are too many connections; come back later",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "this server speaks HTTP/1.1 and HTTP/1.0",
}
"""What each status says, where a path has nothing of its own to say."""

FILLER = "string"
"""Of a text for which nobody gave an example: a test finds it."""

BY_NAME = {"id": EXAMPLE_ID, "reason": "the newer ones misbehave"}
"""Of parameters."""

MANIFEST = {
    "format_version": 3,
    "id": EXAMPLE_ID,
    "round": 42,
    "parent": "000041-90d3b6aa",
    "lineage": "000000-5e1f0c77",
    "created_at": EXAMPLE_TIME,
    "trained_until": EXAMPLE_TIME,
    "trigger": "new_events",
    "data": [{"topic": "events", "partition": 0, "first": 20_500, "last": 20_999}],
    "follows": [{"topic": "events", "partition": 0, "offset": 21_000}],
    "learnt": {"events": 450, "first": "2026-01-31T09:29:00.100Z", "last": EXAMPLE_TIME, "after": "000041-90d3b6aa"},
    "hyperparameters": {"learning_rate": 0.001},
    "gate": {"decision": "promote", "reason": "not_worse"},
    "schema_fingerprint": "sha256:8f14e45fceea167a",
    "model_fingerprint": "sha256:c9f0f895fb98ab91",
    "versions": {"freshet": "0.1.0"},
    "fence": 3,
}


def add_examples(form: dict[str, Any], settings: Settings) -> None:
    """Give every request, answer and parameter of an OpenAPI description an example, where it has none."""
    schemas = form["components"]["schemas"]
    if "Prediction" in schemas:
        schemas["Prediction"]["example"] = example_prediction(settings)
    if "Manifest" in schemas:
        schemas["Manifest"]["example"] = MANIFEST
    details = _details_by_path(settings)
    for path, ways in form["paths"].items():
        for way in ways.values():
            for described in (*way.get("parameters", ()), *way.get("requestBody", {}).get("content", {}).values()):
                _add_to(described, schemas)
            for status, response in way["responses"].items():
                said = details.get((path, int(status)), (DETAILS.get(HTTPStatus(int(status)), "…"), ()))
                for media_type, media in response.get("content", {}).items():
                    if media_type == MEDIA_TYPE:
                        media["example"] = _problem(int(status), *said)
                    else:
                        _add_to(media, schemas)


def _details_by_path(settings: Settings) -> dict[tuple[str, int], tuple[str, tuple[FieldError, ...]]]:
    """Return what some paths say of their own: words, and the fields at fault."""
    name = settings.schema_.names[0] if settings.schema_.names else "x"
    missing = FieldError(pointer("instances", 0, name), f"{name} is missing")
    empty = FieldError(pointer("events"), "empty")
    no_json = "the body is not JSON: Expecting value at line 1, column 1"
    too_late = f"the body did not arrive within {settings.serve.body_seconds:g} s; send it faster, or in parts"
    unreadable = (no_json, (FieldError("", no_json),))
    return {
        ("/v1/predict", 400): unreadable,
        ("/v1/predict", 408): (too_late, ()),
        ("/v1/predict", 422): (missing.detail, (missing,)),
        ("/v1/predict", 503): ("there is no model yet: no checkpoint has been read yet", ()),
        ("/v1/events", 400): unreadable,
        ("/v1/events", 401): (DETAILS[HTTPStatus.UNAUTHORIZED].replace("admin", "events"), ()),
        ("/v1/events", 403): (DETAILS[HTTPStatus.FORBIDDEN].replace("admin", "events"), ()),
        ("/v1/events", 408): (too_late, ()),
        ("/v1/events", 422): ("events is empty; at least one entry is needed", (empty,)),
        ("/v1/events", 503): ("the events were not all kept: the broker does not answer; send them again", ()),
        ("/readyz", 503): ("no checkpoint has been read yet", ()),
        ("/healthz", 503): ("nobody follows the store any more: the watcher ended", ()),
    }


def _problem(status: int, detail: str, errors: tuple[FieldError, ...]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(bytes(problem(status, detail, errors=errors, request_id=REQUEST).body))
    return body


def _add_to(described: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Give a parameter, or a body of some media type, an example."""
    if "schema" in described and "example" not in described and "examples" not in described:
        described["example"] = BY_NAME.get(described.get("name", "")) or _example_of(described["schema"], schemas)


def _example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return a value that fits a schema: the first one that it names, else one made of its parts."""
    for value in _named(schema):
        return value
    if "$ref" in schema:
        return _example_of(schemas[schema["$ref"].removeprefix(REFERENCE)], schemas)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:  # null comes last, so that the others are seen
            return _example_of(min(schema[key], key=lambda one: one.get("type") == "null"), schemas)
    kinds = schema.get("type", "null")
    kind = kinds if isinstance(kinds, str) else min(kinds, key=lambda one: one == "null")
    if kind == "object":
        return {name: _example_of(inner, schemas) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example_of(schema.get("items", {}), schemas)] * max(1, schema.get("minItems", 1))
    return {"string": FILLER, "integer": schema.get("minimum", 1), "number": 0.5, "boolean": True}.get(kind)


def _named(schema: dict[str, Any]) -> Iterator[Any]:
    if "example" in schema:
        yield schema["example"]
    yield from schema.get("examples", [])
    if "const" in schema:
        yield schema["const"]
    if schema.get("default") is not None:
        yield schema["default"]
    yield from schema.get("enum", [])
