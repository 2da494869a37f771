"""A route that is described as FastAPI's are, and answered by an ASGI application of its own."""

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp


class AsgiRoute(APIRoute):
    """FastAPI's route as far as paths, methods and OpenAPI go; each request is handed to ``app`` as it is.

    ``description`` is a function whose name and docstring OpenAPI shows.
    """

    def __init__(self, path: str, description: Callable[..., Any], app: ASGIApp, **described: Any) -> None:  # noqa: ANN401
        super().__init__(path, description, **described)
        self.app = app
