"""Around every request: it is counted, and whatever goes wrong inside ends as a problem, never as a stack trace."""

import asyncio
import time
import uuid
from http import HTTPStatus

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observer import Observer
from service.serve.problems import CLIENT_CLOSED_REQUEST, problem

UNKNOWN_ROUTE = "unknown"
RETRY_AFTER_SECONDS = 2

log = structlog.get_logger(__name__)


class Watched:
    """The application, with each request reported to an observer by its route's template and its status."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._observer.request_began()
        try:
            await self._app(scope, receive, noting_status)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # only at a stop, when the grace time is over
            log.warning("request cut off by the stop", method=scope["method"], path=scope["path"])
            if not status:
                answer = problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the server stops; send the request again",
                    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
                )
                await answer(scope, receive, noting_status)
        except Exception:
            request_id = uuid.uuid4().hex
            log.exception(
                "request failed", request_id=request_id, method=scope["method"], path=scope["path"], route=_route(scope)
            )
            if not status:
                answer = problem(
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    f"an error on our side, logged as request {request_id}; please report it",
                    request_id=request_id,
                )
                await answer(scope, receive, noting_status)
        finally:
            elapsed = time.perf_counter() - began
            self._observer.request_ended(_route(scope), status or CLIENT_CLOSED_REQUEST, elapsed)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    if route is None and "endpoint" in scope:
        # FastAPI tells which of its own routes answered; of Starlette's plain ones it leaves the endpoint alone.
        endpoint = scope["endpoint"]
        route = next((known for known in scope["app"].routes if getattr(known, "endpoint", None) is endpoint), None)
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNKNOWN_ROUTE
