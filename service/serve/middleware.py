"""Around every request: it has an id, is counted, and whatever goes wrong inside is answered without a stack trace."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observer import Observer
from service.serve.problems import CLIENT_CLOSED_REQUEST, REQUEST_ID, clipped, problem

UNKNOWN_ROUTE = "unknown"
RETRY_AFTER_SECONDS = 2
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger(__name__)


def never() -> bool:
    """Answer that no stop is under way."""
    return False


class Watched:
    """The application, with each request named, reported to an observer by route and status, and answered safely.

    The id is the client's ``X-Request-ID`` if that is short and plain, else a new one; it is in the answer's headers,
    in problem details, and in every log line of the request. While ``closing`` says so, answers close the connection.
    """

    def __init__(self, app: ASGIApp, observer: Observer, closing: Callable[[], bool] = never) -> None:
        self._app = app
        self._observer = observer
        self._closing = closing
        self._log = log.bind()  # once: a lazy logger is made anew at each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0
        request_id = _request_id(scope)

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = self._dressed(message.get("headers", ()), request_id)
            await send(message)

        self._observer.request_began()
        # Never unbound: each request is a task, which has a context of its own.
        structlog.contextvars.bind_contextvars(**{REQUEST_ID: request_id})
        try:
            await self._app(scope, receive, noting_status)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # only at a stop, when the grace time is over
            log.warning("request cut off by the stop", method=scope["method"], path=clipped(scope["path"]))
            if not status:
                answer = problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the server stops; send the request again",
                    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
                )
                await answer(scope, receive, noting_status)
        except Exception:
            log.exception("request failed", method=scope["method"], path=clipped(scope["path"]), route=_route(scope))
            if not status:
                answer = problem(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    f"an error on our side, logged as request {request_id}; please report it",
                )
                await answer(scope, receive, noting_status)
        finally:
            elapsed, route = time.perf_counter() - began, _route(scope)
            answered = status or CLIENT_CLOSED_REQUEST
            self._observer.request_ended(route, answered, elapsed)
            seconds = round(elapsed, 6)
            self._log.debug("request", method=scope["method"], route=route, status=answered, seconds=seconds)

    def _dressed(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
        dressed = [*headers, (b"x-request-id", request_id.encode("ascii")), NO_SNIFFING]
        if not any(name == b"cache-control" for name, _ in dressed):
            dressed.append(NO_STORE)  # the next answer may come from another model
        if self._closing():
            dressed = [header for header in dressed if header[0] != b"connection"]
            dressed.append((b"connection", b"close"))
        return dressed


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            sent = value.decode("latin-1")
            if _SANE_ID.fullmatch(sent):
                return str(sent)
            break
    return secrets.token_hex(16)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    if route is None and "endpoint" in scope:
        # FastAPI tells which of its own routes answered; of Starlette's plain ones it leaves the endpoint alone.
        endpoint = scope["endpoint"]
        route = next((known for known in scope["app"].routes if getattr(known, "endpoint", None) is endpoint), None)
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNKNOWN_ROUTE
