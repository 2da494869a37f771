"""The HTTP application: its routes, its errors and its description at /docs."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute

from service import __version__
from service.observer import Observer
from service.serve import description, events, inspection, predictions
from service.serve.access import SCHEME
from service.serve.batching import Batcher
from service.serve.bounds import ANYWHERE, BoundedHead
from service.serve.description import add_description_routes
from service.serve.events import EventDesk, add_events_route
from service.serve.inspection import add_inspection_routes
from service.serve.middleware import UNKNOWN_ROUTE, Watched, never
from service.serve.predictions import add_prediction_route
from service.serve.predictor import Predictor
from service.serve.problems import documented, install_problems
from service.serve.schemas import Problem
from service.serve.tokens import Tokens
from service.settings import Settings
from service.store.checkpoints import CheckpointStore

KNOWN_ANSWERS = [
    (path, status)
    for path, statuses in {
        predictions.PATH: predictions.STATUSES,
        events.PATH: events.STATUSES,
        **inspection.STATUSES,
        **description.STATUSES,
        "/metrics": (200,),
        "/healthz": (200, 503),
        "/readyz": (200, 503),
        UNKNOWN_ROUTE: (404, *ANYWHERE),
    }.items()
    for status in statuses
]
"""Every route with every status that it documents."""

REQUEST_ID_HEADER = {
    "X-Request-ID": {
        "description": "the request's own, if it is at most 64 of A-Z a-z 0-9 . _ -, else a new one",
        "schema": {"type": "string"},
    }
}
RETRY_HEADER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}}
BEARER = {"type": "http", "scheme": "bearer", "description": "a token of the file that serve.tokens_file names"}


class Application(FastAPI):
    """FastAPI, whose description has our form of problems in place of its own."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        if self.openapi_schema is None:
            form = super().openapi()
            schemas = form["components"]["schemas"]
            for way in (way for ways in form["paths"].values() for way in ways.values()):
                if "application/json" in way["responses"].get("422", {}).get("content", {}):
                    del way["responses"]["422"]  # FastAPI adds it to every path with a parameter
                way["responses"] |= {str(status): form for status, form in documented(ANYWHERE).items()}
                for status, response in way["responses"].items():
                    response["headers"] = REQUEST_ID_HEADER | (RETRY_HEADER if status == "503" else {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**problem.pop("$defs"), "Problem": problem}
            form["components"]["securitySchemes"] = {SCHEME: BEARER}
        return self.openapi_schema or form


def create_app(
    settings: Settings,
    predictor: Predictor,
    store: CheckpointStore,
    desk: EventDesk,
    observer: Observer,
    *,
    probes: Sequence[BaseRoute] = (),
    closing: Callable[[], bool] = never,
) -> FastAPI:
    """Return the application; ``probes`` are routes for operators that others bring along.

    ``closing`` tells whether a stop is under way. Raises ConfigurationError if ``serve.tokens_file`` is wrong.
    """
    app = Application(
        title="Freshet",
        version=__version__,
        description=f"Predictions of `{settings.serve.model_name}`, a model that stays current with its stream.",
        docs_url=None,
        redoc_url=None,
        openapi_url=description.OPENAPI_PATH,
        redirect_slashes=False,
    )
    app.state.tokens = Tokens(settings.serve.tokens_file)
    app.state.batcher = batcher = Batcher(settings.serve, observer)
    add_prediction_route(app, settings, predictor, batcher)
    add_events_route(app, settings, desk)
    add_inspection_routes(app, settings, store, predictor)
    add_description_routes(app)
    app.router.routes.extend(probes)
    install_problems(app)
    app.add_middleware(BoundedHead, max_header_bytes=settings.serve.max_header_bytes)
    app.add_middleware(Watched, observer=observer, closing=closing)  # added last: outermost
    return app
