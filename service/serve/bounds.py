"""What a request may be at most: its head, and how many of one kind are under way at once."""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from service.serve.problems import ProblemError, problem

MAX_HEADERS = 100
MAX_TARGET_BYTES = 8 * 2**10
ANYWHERE = (HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
"""Statuses with which any path can answer, before its route is known."""


class Places:
    """A number of places for requests under way: ``with places:`` holds one, for the event loop's thread alone.

    Who finds none is asked at once to come back: ProblemError 503.
    """

    def __init__(self, most: int, key: str, *, retry_after_seconds: int) -> None:
        self._most = most
        self._key = key
        self._retry_after_seconds = retry_after_seconds
        self._taken = 0

    def __enter__(self) -> None:
        if self._taken >= self._most:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._most} requests are under way, which is the most at once ({self._key}); send it again later",
                retry_after_seconds=self._retry_after_seconds,
            )
        self._taken += 1

    def __exit__(self, *_: object) -> None:
        self._taken -= 1


class BoundedHead:
    """The application, spared requests whose target or headers are too long or too many."""

    def __init__(self, app: ASGIApp, max_header_bytes: int) -> None:
        self._app = app
        self._max_header_bytes = max_header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        if scope["type"] == "http":
            headers = scope["headers"]
            size_bytes = 0
            for name, value in headers:  # half the time of a sum over a generator
                size_bytes += len(name) + len(value)
            if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES:
                detail = f"the request's target is longer than {MAX_TARGET_BYTES} bytes"
                answer = problem(HTTPStatus.REQUEST_URI_TOO_LONG, detail)
                return await answer(scope, receive, send)
            if len(headers) > MAX_HEADERS or size_bytes > self._max_header_bytes:
                detail = f"the request has more than {MAX_HEADERS} headers, or {self._max_header_bytes} bytes of them"
                answer = problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
                return await answer(scope, receive, send)
        return await self._app(scope, receive, send)
