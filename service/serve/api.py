"""The HTTP application: its routes, its errors and its description at /docs."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.observer import Observer
from service.serve import control, description, events, inspection, openapi, predictions
from service.serve.batching import Batcher
from service.serve.bounds import ANYWHERE, BoundedHead
from service.serve.control import add_control_routes
from service.serve.description import add_description_routes
from service.serve.events import EventDesk, add_events_route
from service.serve.inspection import add_inspection_routes
from service.serve.middleware import UNKNOWN_ROUTE, Watched, never
from service.serve.page import routes as page
from service.serve.page.routes import add_page_routes
from service.serve.predictions import add_prediction_route
from service.serve.predictor import Predictor
from service.serve.problems import install_problems
from service.serve.protocol import routes as protocol
from service.serve.protocol.errors import ProtocolErrors
from service.serve.protocol.routes import add_protocol_routes
from service.serve.routes import Shortcut
from service.serve.shadow import Shadow
from service.serve.tokens import Tokens
from service.settings import Settings
from service.store.checkpoints import CheckpointStore

KNOWN_ANSWERS = [
    (path, status)
    for path, statuses in {
        predictions.PATH: predictions.STATUSES,
        events.PATH: events.STATUSES,
        **inspection.STATUSES,
        **control.STATUSES,
        **protocol.STATUSES,
        **description.STATUSES,
        **page.STATUSES,
        "/metrics": (200,),
        "/healthz": (200, 503),
        "/readyz": (200, 503),
        UNKNOWN_ROUTE: (404, *ANYWHERE),
    }.items()
    for status in statuses
]
"""Every route with every status that it documents."""


class Application(FastAPI):
    """FastAPI, whose description has our form of problems in place of its own, and that can be gone past.

    ``past`` are a shortcut and what answers in its place: FastAPI's own way of a request costs more than a prediction.
    """

    past: tuple[Shortcut, ASGIApp] | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            title="Freshet",
            version=__version__,
            description=f"Predictions of `{settings.serve.model_name}`, a model that stays current with its stream.",
            docs_url=None,
            redoc_url=None,
            openapi_url=description.OPENAPI_PATH,
            redirect_slashes=False,
        )
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        if self.past is not None and self.past[0].takes(scope):
            await self.past[1](scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        if self.openapi_schema is None:
            paths = {getattr(route, "path", "") for route in self.routes}
            openapi.complete(super().openapi(), self.settings, paths)
        return self.openapi_schema or {}


def create_app(
    settings: Settings,
    predictor: Predictor,
    store: CheckpointStore,
    desk: EventDesk,
    observer: Observer,
    *,
    probes: Sequence[BaseRoute] = (),
    closing: Callable[[], bool] = never,
    shadow: Shadow | None = None,
    ready: Callable[[], str | None] | None = None,
    alive: Callable[[], str | None] = lambda: None,
    batcher: Batcher | None = None,
) -> FastAPI:
    """Return the application; ``probes`` are routes for operators that others bring along.

    ``closing`` tells whether a stop is under way; ``shadow`` is told of what is answered; ``ready`` and ``alive`` say
    what is wrong, if something is. Raises ConfigurationError if ``serve.tokens_file`` is wrong.
    """
    app = Application(settings)
    app.state.tokens = Tokens(settings.serve.tokens_file)
    app.state.batcher = batcher = batcher or Batcher(settings.serve, observer)
    batcher.listeners += [shadow.listen] if shadow else []
    shortcut = Shortcut(add_prediction_route(app, settings, predictor, batcher))
    add_events_route(app, settings, desk)
    add_inspection_routes(app, settings, store, predictor, shadow)
    add_control_routes(app, settings, store)
    add_protocol_routes(app, settings, predictor, batcher, ready=ready or predictor.ready, alive=alive)
    add_description_routes(app)
    add_page_routes(app, settings, store, predictor)
    app.router.routes.extend(probes)
    install_problems(app)
    max_header_bytes = settings.serve.max_header_bytes
    app.add_middleware(BoundedHead, max_header_bytes=max_header_bytes)
    app.add_middleware(Watched, observer=observer, closing=closing)
    app.add_middleware(ProtocolErrors)  # added last: outermost
    app.past = shortcut, Watched(BoundedHead(shortcut, max_header_bytes), observer, closing)
    return app
