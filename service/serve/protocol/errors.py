"""Errors in the protocol's own form, ``{"error": text}``, made of the problems that the rest of the server answers."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.serve.problems import MEDIA_TYPE, ProblemError, clipped

ROOT = "/v2"
ERROR_MEDIA_TYPE = "application/json"

BEFORE_ROUTING = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
)
"""What cannot be read as HTTP has no path, and there may be no room for the connection: these answers stay problems."""

EXAMPLES = {
    HTTPStatus.BAD_REQUEST: "input 'age' has shape [2, 3]; it takes [n], one number a row",
    HTTPStatus.NOT_FOUND: "there is no model 'other' here; this server has 'freshet'",
    HTTPStatus.REQUEST_TIMEOUT: "the body did not arrive within 30 s; send it faster, or in parts",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request has 10001 rows, but at most 10000 are taken at once",
    HTTPStatus.REQUEST_URI_TOO_LONG: "the request's target is longer than 8192 bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body is declared as text/plain; send it as application/json",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request has more than 100 headers, or 16384 bytes of them",
    HTTPStatus.INTERNAL_SERVER_ERROR: "an error on our side, logged as request 4f0c6f1a; please report it",
    HTTPStatus.SERVICE_UNAVAILABLE: "there is no model yet: no checkpoint has been read yet",
}


class ProtocolErrors:
    """The application, whose problems under ``/v2`` are said in the protocol's form: same status, same headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        if scope["type"] == "http" and (scope["path"] == ROOT or scope["path"].startswith(f"{ROOT}/")):
            send = _Converting(send)
        await self._app(scope, receive, send)


class _Converting:
    """Holds back the start of a problem until its body, a single message, tells what to say instead."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if (b"content-type", MEDIA_TYPE.encode()) in headers:
                self._start = {**message, "headers": headers}
                return
        elif self._start is not None:
            start, self._start = self._start, None
            body = json.dumps({"error": json.loads(message["body"])["detail"]}).encode("ascii")
            kept = [one for one in start["headers"] if one[0] not in {b"content-type", b"content-length"}]
            own = [(b"content-type", ERROR_MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
            await self._send({**start, "headers": kept + own})
            message = {**message, "body": body}
        await self._send(message)


def refused(detail: str) -> ProblemError:
    """Return the error for a request that cannot be understood."""
    return ProblemError(HTTPStatus.BAD_REQUEST, detail)


def input_fault(name: str, detail: str) -> ProblemError:
    """Return the error for an input at fault; ``detail`` goes on after its name."""
    return refused(f"input {clipped(name)!r} {detail}")


def documented(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes these statuses of a route; the schema's name is that of ``forms.InferenceError``."""
    form = {"$ref": "#/components/schemas/InferenceError"}
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described: dict[int | str, dict[str, Any]] = {}
    for status in map(HTTPStatus, statuses):
        content: dict[str, Any] = {}
        if status in EXAMPLES:
            content[ERROR_MEDIA_TYPE] = {"schema": form, "example": {"error": EXAMPLES[status]}}
        if status in BEFORE_ROUTING:
            content |= problem
        described[int(status)] = {"description": status.phrase, "content": content}
    return described
