"""The protocol's routes."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request

from service.serve.batching import Batcher
from service.serve.predictor import Predictor
from service.serve.problems import ProblemError
from service.serve.protocol.errors import ROOT, documented
from service.serve.protocol.forms import (
    InferAnswer,
    InferenceError,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    infer_body,
)
from service.serve.protocol.infer import InferEndpoint, serving_of
from service.serve.protocol.metadata import model_metadata, server_metadata
from service.serve.routes import AsgiRoute
from service.serve.schemas import EXAMPLE_ID
from service.settings import Settings

LIVE = f"{ROOT}/health/live"
READY = f"{ROOT}/health/ready"
MODELS = (f"{ROOT}/models/{{name}}", f"{ROOT}/models/{{name}}/versions/{{version}}")

_HEALTH = (200, 500, 503)
_MODEL = (200, 404, 500, 503)
_INFER = (200, 400, 404, 408, 413, 415, 500, 503)
STATUSES: dict[str, tuple[int, ...]] = {
    ROOT: (200, 500),
    LIVE: _HEALTH,
    READY: _HEALTH,
    **dict.fromkeys(MODELS, _MODEL),
    **{f"{path}/ready": _MODEL for path in MODELS},
    **{f"{path}/infer": _INFER for path in MODELS},
}
ANYWHERE = (400, 408, 414, 431, 500, 503, 505)
"""With what any path may be answered before its route is known; see ``service.serve.openapi``."""

TAGS = ("open inference protocol",)
BINARY = {"schema": {"type": "string", "format": "binary"}, "example": "the JSON, and behind it the bytes of outputs"}
RETRY_AFTER_SECONDS = 1

Check = Callable[[], str | None]


def add_protocol_routes(
    app: FastAPI, settings: Settings, predictor: Predictor, batcher: Batcher, *, ready: Check, alive: Check
) -> None:
    """Add the protocol's routes; ``ready`` and ``alive`` are those of the probes: why not, None if all is well."""

    async def show_server() -> ServerMetadata:
        """Tell the server's name, version and extensions."""
        return server_metadata()

    async def show_live() -> Live:
        """Tell whether the server lives; 503 says why it should be restarted."""
        _refuse_if(alive())
        return Live(live=True)

    async def show_ready() -> Ready:
        """Tell whether it answers and will go on to; 503 says why not."""
        _refuse_if(ready())
        return Ready(ready=True)

    async def show_model(request: Request) -> ModelMetadata:
        """Tell the inputs and outputs of the checkpoint that serves, which is the only version there is."""
        serving = serving_of(predictor, settings, request.path_params)
        return model_metadata(serving, settings.serve.model_name)

    async def show_model_ready(request: Request) -> ModelReady:
        """Tell whether the model answers, or whether a version is the one that does."""
        serving_of(predictor, settings, request.path_params)
        _refuse_if(ready())
        return ModelReady(name=settings.serve.model_name, ready=True)

    async def infer() -> InferAnswer:
        """Answer each row of the inputs; all of a request's answers come from one checkpoint, `model_version`.

        Also with the binary tensor data extension: `Inference-Header-Content-Length` tells where the JSON ends.
        """
        raise NotImplementedError  # described here, answered by the endpoint

    _add(app, ROOT, show_server, ServerMetadata)
    _add(app, LIVE, show_live, Live)
    _add(app, READY, show_ready, Ready)
    endpoint = InferEndpoint(settings, predictor, batcher)
    for path in MODELS:
        parameters: dict[str, Any] = {"parameters": _parameters(path, settings)}
        _add(app, path, show_model, ModelMetadata, openapi_extra=parameters)
        _add(app, f"{path}/ready", show_model_ready, ModelReady, openapi_extra=parameters)
        infer_path = f"{path}/infer"
        responses = _responses(infer_path)
        responses[200] = {"content": {"application/octet-stream": BINARY}}
        extra = {"requestBody": {"required": True, **infer_body(settings)}, **parameters}
        app.router.routes.append(
            AsgiRoute(
                infer_path,
                infer,
                endpoint,
                methods=["POST"],
                response_model=InferAnswer,
                responses=responses,
                openapi_extra=extra,
                tags=[*TAGS],
            )
        )


def _add(app: FastAPI, path: str, answer: Callable[..., Any], form: type, **described: Any) -> None:  # noqa: ANN401
    app.add_api_route(path, answer, response_model=form, responses=_responses(path), tags=[*TAGS], **described)


def _responses(path: str) -> dict[int | str, dict[str, Any]]:
    errors = {status for status in (*STATUSES[path], *ANYWHERE) if status >= HTTPStatus.BAD_REQUEST}
    responses = documented(sorted(errors))
    # Names the schema, so that the description has it.
    responses[int(HTTPStatus.INTERNAL_SERVER_ERROR)]["model"] = InferenceError
    return responses


def _parameters(path: str, settings: Settings) -> list[dict[str, Any]]:
    name = {"description": "the model's", "schema": {"enum": [settings.serve.model_name]}}
    version = {"description": "the id of the checkpoint that serves", "schema": {"type": "string"}}
    described = [
        {"name": "name", "example": settings.serve.model_name, **name},
        {"name": "version", "example": EXAMPLE_ID, **version},
    ]
    return [{**one, "in": "path", "required": True} for one in described if f"{{{one['name']}}}" in path]


def _refuse_if(trouble: str | None) -> None:
    if trouble is not None:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, trouble, retry_after_seconds=RETRY_AFTER_SECONDS)
