"""POST /v1/predict."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from service.serve.body import list_in, read_body
from service.serve.bounds import Places
from service.serve.predictor import Predictor, Serving, predict
from service.serve.problems import ProblemError, documented
from service.serve.schemas import PredictAnswer, predict_body
from service.serve.threads import in_thread
from service.settings import Settings

PATH = "/v1/predict"
STATUSES = (200, 400, 408, 413, 415, 422, 500, 503)

INLINE_INSTANCES = 256
INLINE_BYTES = 64 * 2**10
"""Up to here a request is answered on the event loop, in a millisecond or two: less than a thread would add."""

THREADS = 2
"""For the others; more would only take turns with one another, and with the event loop."""

RETRY_AFTER_SECONDS = 2


def add_prediction_route(app: FastAPI, settings: Settings, predictor: Predictor) -> None:
    """Add the route that answers from ``predictor.current``."""
    # Threads of its own, so that nobody who waits for a disk or a broker can use them up.
    threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="predict")
    places = Places(settings.serve.max_in_flight, "serve.max_in_flight", retry_after_seconds=RETRY_AFTER_SECONDS)

    async def predict_instances(request: Request) -> Response:
        """Predict the label of each instance; all of a request's answers come from one checkpoint."""
        with places.one():
            body = await read_body(request, settings.serve)
            if len(body) > INLINE_BYTES:
                answer = await in_thread(threads, _answer_body, body)
            else:
                instances = list_in(body, "instances", settings)
                serving = _serving()
                if len(instances) <= INLINE_INSTANCES:
                    answer = _answer(serving, instances)
                else:
                    answer = await in_thread(threads, _answer, serving, instances)
        return Response(answer, media_type="application/json")

    def _answer_body(body: bytes) -> bytes:
        return _answer(_serving(), list_in(body, "instances", settings))

    def _serving() -> Serving:
        """Return what serves now: the one reference that a request uses to its end."""
        serving = predictor.current
        if serving is None:
            detail = f"there is no model yet: {predictor.ready()}"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_seconds=RETRY_AFTER_SECONDS)
        return serving

    app.add_api_route(
        PATH,
        predict_instances,
        methods=["POST"],
        response_model=PredictAnswer,
        responses=documented(STATUSES),
        openapi_extra=predict_body(settings),
        tags=["predictions"],
    )


def _answer(serving: Serving, instances: Sequence[Any]) -> bytes:
    predictions = predict(serving.model, instances)
    checkpoint = {"id": serving.checkpoint_id, "trained_until": serving.manifest.trained_until}
    return msgspec.json.encode({"predictions": predictions, "checkpoint": checkpoint})
