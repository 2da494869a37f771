"""POST /v1/predict."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import FastAPI, Query
from starlette.types import Receive, Scope, Send

from service.model.learned import LearnedModel
from service.records import FloatArray
from service.serve.batching import Batcher
from service.serve.body import list_in, read_body
from service.serve.explain import Explainer, Explanation, asks_for_explanation
from service.serve.instances import encode_instances, warnings_of
from service.serve.predictor import Predictor, Serving, answers
from service.serve.problems import ProblemError, documented
from service.serve.reader import InstanceReader, Read
from service.serve.request_forms import predict_body
from service.serve.routes import AsgiRoute
from service.serve.schemas import PredictAnswer
from service.serve.threads import in_thread
from service.settings import Settings

PATH = "/v1/predict"
STATUSES = (200, 400, 408, 413, 415, 422, 500, 503)

INLINE_BYTES = 64 * 2**10
"""Up to here a body is read on the event loop, in a millisecond or so: less than a thread would add."""

THREADS = 2
"""For larger bodies; more would only take turns with one another, and with the event loop."""

RETRY_AFTER_SECONDS = 2

Warnings = Sequence[Sequence[str]]
Explain = Annotated[bool, Query(description="tell how much each feature adds to each answer")]


def add_prediction_route(app: FastAPI, settings: Settings, predictor: Predictor, batcher: Batcher) -> AsgiRoute:
    """Add the route that answers from ``predictor.current``; return it."""

    async def predict_instances(explain: Explain = False) -> PredictAnswer:  # noqa: FBT002 - a query's
        """Predict the label of each instance; all of a request's answers come from one checkpoint."""
        raise NotImplementedError  # described here, answered by the endpoint

    route = AsgiRoute(
        PATH,
        predict_instances,
        PredictEndpoint(settings, predictor, batcher),
        methods=["POST"],
        response_model=PredictAnswer,
        responses=documented(STATUSES),
        openapi_extra=predict_body(settings),
        tags=["predictions"],
    )
    app.router.routes.append(route)
    return route


class PredictEndpoint:
    """Answers predictions as a bare ASGI application: FastAPI's own way of a request costs more than the answer."""

    def __init__(self, settings: Settings, predictor: Predictor, batcher: Batcher) -> None:
        self._settings = settings
        self._predictor = predictor
        self._batcher = batcher
        self._reader = InstanceReader(settings.schema_, settings.serve)
        # Threads of its own, so that nobody who waits for a disk or a broker can use them up.
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="read")
        self._explainer = Explainer(settings.serve.explain)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol); raises ProblemError."""
        explains = asks_for_explanation(scope["query_string"])
        with self._batcher.places:
            body = await read_body(scope, receive, self._settings.serve)
            serving = self._serving()
            if len(body) <= INLINE_BYTES:
                (numbers, codes, rows), warnings = self._read(body, serving.model)
            else:
                (numbers, codes, rows), warnings = await in_thread(self._threads, self._read, body, serving.model)
            if explains:
                self._explainer.admit(len(rows))
            outputs = await self._batcher.outputs(serving, numbers, codes, rows)
            explanations = await self._explainer.explain(serving, numbers, codes, outputs) if explains else ()
            if len(outputs) <= serving.inline_rows:
                answer = _encode(serving, outputs, warnings, explanations)
            else:
                answer = await in_thread(self._threads, _encode, serving, outputs, warnings, explanations)
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _read(self, body: bytes, model: LearnedModel) -> tuple[Read, Warnings]:
        """Return what a body asks for, and what each instance is to be warned of."""
        reader, schema = self._reader, model.encoder.schema
        if schema is not reader.schema:
            if schema == reader.schema:
                reader.schema = schema  # the next look is quicker
            else:
                self._reader = reader = InstanceReader(schema, self._settings.serve)
        read = reader.read(body, model)
        if read is None:
            instances = list_in(body, "instances", self._settings, unique_keys=True)
            numbers, codes, warnings = encode_instances(model, instances, self._settings.serve.max_body_bytes)
            return Read(numbers, codes, [model.columns.row(instance) for instance in instances]), warnings
        return read, warnings_of(model, read.codes, read.rows)

    def _serving(self) -> Serving:
        """Return what serves now: the one reference that a request uses to its end."""
        serving = self._predictor.current
        if serving is None:
            detail = f"there is no model yet: {self._predictor.ready()}"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_seconds=RETRY_AFTER_SECONDS)
        return serving


def _encode(
    serving: Serving, outputs: FloatArray, warnings: Warnings, explanations: Sequence[Explanation] = ()
) -> bytes:
    predictions = answers(serving.model, outputs, warnings)
    for prediction, explanation in zip(predictions, explanations, strict=False):
        prediction["explanation"] = explanation
    checkpoint = {"id": serving.checkpoint_id, "trained_until": serving.manifest.trained_until}
    return msgspec.json.encode({"predictions": predictions, "checkpoint": checkpoint})
