"""Errors as RFC 9457 problem details: every answer of 400 or more has this shape, and names the field at fault.

Text from a request is echoed cut to ECHO_CHARS, and as ASCII JSON: whatever a client sends can be encoded again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

MEDIA_TYPE = "application/problem+json"
ECHO_CHARS = 200
CLIENT_CLOSED_REQUEST = 499
REQUEST_ID = "request_id"
"""The member of problem details, and the key of log lines, under which a request's id stands."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault: its JSON pointer (RFC 6901; empty for the whole body) and what is wrong with it."""

    pointer: str
    detail: str


class ProblemError(Exception):
    """A request that is answered with problem details: its status, what was wrong, where, and when to come back.

    ``headers`` are those of the answer beside Retry-After.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = {**(headers or {})}
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer of a place in the request's body."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def clipped(text: str) -> str:
    """Return a request's text short enough to be echoed."""
    return text if len(text) <= ECHO_CHARS else text[: ECHO_CHARS - 1] + "…"


def problem(
    status: int,
    detail: str,
    *,
    errors: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return a problem response; within a request it knows that request's id by itself."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    request_id = request_id or structlog.contextvars.get_contextvars().get(REQUEST_ID)
    if request_id is not None:
        body[REQUEST_ID] = request_id
    named = [{"pointer": clipped(error.pointer), "detail": clipped(error.detail)} for error in errors]
    if named:
        body["errors"] = named
    return Response(json.dumps(body).encode("ascii"), status, headers, MEDIA_TYPE)


def response_of(error: ProblemError) -> Response:
    """Return the response that an error stands for."""
    return problem(error.status, error.detail, errors=error.errors, headers=error.headers)


def documented(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes these statuses' problems; the schema's name is that of ``schemas.Problem``."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
        if status >= HTTPStatus.BAD_REQUEST
    }


def install_problems(app: FastAPI | Starlette) -> None:
    """Make every error that a route or the router raises a problem response."""
    app.add_exception_handler(ProblemError, _of_problem)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)


async def _of_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for no other
    return response_of(error)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    path = clipped(request.scope["path"])
    hint = "/docs lists the routes" if isinstance(request.app, FastAPI) else "there are /metrics, /healthz and /readyz"
    detail = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}; {hint}",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{path} does not answer {clipped(request.method)}; {hint}",
    }.get(HTTPStatus(error.status_code), str(error.detail))
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(sorted(_methods_at(request)))}
    return problem(error.status_code, detail, headers=headers)


def _methods_at(request: Request) -> set[str]:
    """Return all methods that a path answers: of several routes at one path Starlette names the first one's alone."""
    routes: Iterable[Route] = (route for route in request.app.routes if isinstance(route, Route))
    return {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


async def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [FieldError(pointer(*fault["loc"]), str(fault["msg"])) for fault in error.errors()]
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not have the form that /docs shows", errors=faults
    )
