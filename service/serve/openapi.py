"""Completes FastAPI's description: our form of problems, what any path can answer, the probes, and examples."""

from collections.abc import Collection
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from service.serve.access import SCHEME
from service.serve.examples import add_examples
from service.serve.problems import documented
from service.serve.schemas import Problem
from service.settings import Settings

ANY_PATH = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_URI_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
)
"""With what any request may be answered before its route is known: it cannot be read, there are too many, or a stop."""

ELSEWHERE = """
Every answer of 400 or more is a problem (RFC 9457), under `/v2` an error of the Open Inference Protocol. A path that is
not listed is answered with 404, a method that is not listed with 405. A checkpoint may be replaced between any two
requests; each answer names the one that it is from.
"""

_REQUEST_ID = {
    "X-Request-ID": {
        "description": "the request's own, if it is at most 64 of A-Z a-z 0-9 . _ -, else a new one",
        "schema": {"type": "string"},
    }
}
_HEADERS = {
    "401": {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    "503": {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}},
}
_BEARER = {"type": "http", "scheme": "bearer", "description": "a token of the file that serve.tokens_file names"}

_METRICS = "# HELP freshet_requests_in_flight Requests under way.\n# TYPE freshet_requests_in_flight gauge\n"
_PROBES = {
    "/healthz": ("Tell whether the server lives; 503 says why it should be restarted.", "alive"),
    "/readyz": ("Tell whether it answers predictions and will go on to; 503 says why not.", "ready"),
}


def complete(form: dict[str, Any], settings: Settings, paths: Collection[str]) -> dict[str, Any]:
    """Complete a description in place, and return it; ``paths`` are those that the application answers."""
    form["info"]["description"] += f"\n{ELSEWHERE}"
    form["paths"] |= {path: {"get": way} for path, way in _probes().items() if path in paths}
    schemas = form.setdefault("components", {}).setdefault("schemas", {})
    for way in (way for ways in form["paths"].values() for way in ways.values()):
        responses = way["responses"]
        if "application/json" in responses.get("422", {}).get("content", {}):
            del responses["422"]  # FastAPI adds it to every path with a parameter
        for status, answer in documented(ANY_PATH).items():
            # Also where a path has a form of its own: before it is known, this is the only one.
            known = responses.setdefault(str(status), answer)
            known["content"] = known.get("content", {}) | answer["content"]
        # Each its own, for each gets its own example.
        way["responses"] = responses = {status: deepcopy(responses[status]) for status in sorted(responses)}
        for status, response in responses.items():
            response["headers"] = _REQUEST_ID | _HEADERS.get(status, {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    form["components"]["securitySchemes"] = {SCHEME: _BEARER}
    add_examples(form, settings)
    return form


def _probes() -> dict[str, dict[str, Any]]:
    """Return how the routes of ``service.probes`` are described: they are Starlette's, which describes nothing."""
    found = {
        path: _operation(path, says, {"application/json": _status(word)}) for path, (says, word) in _PROBES.items()
    }
    text = {"schema": {"type": "string"}, "example": f"{_METRICS}freshet_requests_in_flight 0.0\n"}
    kinds = {"text/plain": text, "application/openmetrics-text": {**text, "example": f"{text['example']}# EOF\n"}}
    found["/metrics"] = _operation("/metrics", "Tell all metrics, as Prometheus and OpenMetrics read them.", kinds)
    return found


def _operation(path: str, says: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "tags": ["operation"],
        "summary": says.partition(";")[0].partition(",")[0],
        "description": says,
        "operationId": f"probe_{path.strip('/')}",
        "responses": {"200": {"description": "OK", "content": content}},
    }


def _status(word: str) -> dict[str, Any]:
    properties = {"status": {"type": "string", "const": word}}
    return {"schema": {"type": "object", "properties": properties, "required": ["status"]}}
