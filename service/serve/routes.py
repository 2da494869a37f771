"""Routes that are described as FastAPI's are, and answered by an ASGI application of their own, past all of FastAPI."""

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.serve.problems import ProblemError, response_of


class AsgiRoute(APIRoute):
    """FastAPI's route as far as paths, methods and OpenAPI go; each request is handed to ``app`` as it is.

    ``description`` is a function whose name and docstring OpenAPI shows.
    """

    def __init__(self, path: str, description: Callable[..., Any], app: ASGIApp, **described: Any) -> None:  # noqa: ANN401
        super().__init__(path, description, **described)
        self.app = app


class Shortcut:
    """What such a route answers itself, problems included, for requests that are led past FastAPI."""

    def __init__(self, route: AsgiRoute) -> None:
        self._route = route
        self._path = route.path
        self._methods = frozenset(route.methods or ())

    def takes(self, scope: Scope) -> bool:
        """Tell whether a request is for this route."""
        return bool(scope["type"] == "http" and scope["path"] == self._path and scope["method"] in self._methods)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        scope["route"] = self._route
        try:
            await self._route.app(scope, receive, send)
        except ProblemError as error:
            await response_of(error)(scope, receive, send)
