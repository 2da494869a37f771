"""The HTTP application: its routes, its errors and its description at /docs."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute

from service import __version__
from service.observer import Observer
from service.serve import description, events, inspection, predictions
from service.serve.description import add_description_routes
from service.serve.events import EventDesk, add_events_route
from service.serve.inspection import add_inspection_routes
from service.serve.middleware import Watched
from service.serve.predictions import add_prediction_route
from service.serve.predictor import Predictor
from service.serve.problems import install_problems
from service.serve.schemas import Problem
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
    }.items()
    for status in statuses
]
"""Every route with every status that it documents."""


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
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= {**problem.pop("$defs"), "Problem": problem}
        return self.openapi_schema or form


def create_app(
    settings: Settings,
    predictor: Predictor,
    store: CheckpointStore,
    desk: EventDesk,
    observer: Observer,
    *,
    probes: Sequence[BaseRoute] = (),
) -> FastAPI:
    """Return the application; ``probes`` are routes for operators that others bring along."""
    app = Application(
        title="Freshet",
        version=__version__,
        description=f"Predictions of `{settings.serve.model_name}`, a model that stays current with its stream.",
        docs_url=None,
        redoc_url=None,
        openapi_url=description.OPENAPI_PATH,
        redirect_slashes=False,
    )
    add_prediction_route(app, settings, predictor)
    add_events_route(app, settings, desk)
    add_inspection_routes(app, settings, store, predictor)
    add_description_routes(app)
    app.router.routes.extend(probes)
    install_problems(app)
    app.add_middleware(Watched, observer=observer)
    return app
