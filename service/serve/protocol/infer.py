"""POST /v2/models/{name}[/versions/{version}]/infer."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from service.records import FloatArray
from service.serve.batching import Batcher
from service.serve.body import read_body
from service.serve.predictor import Predictor, Serving
from service.serve.problems import ProblemError, clipped
from service.serve.protocol.answer import Answer, answer_of, wanted_of
from service.serve.protocol.columns import Columns, columns_of
from service.serve.protocol.errors import refused
from service.serve.protocol.request import HEADER_LENGTH, Head, Wanted, head_of, parse_request
from service.serve.threads import in_thread
from service.settings import Settings

MEDIA_TYPES = ("application/json", "application/octet-stream", "")
"""tritonclient and KServe's client send JSON without a type."""

INLINE_BYTES = 64 * 2**10
"""Up to here a body is read on the event loop, unless it is compressed: nobody knows how large it is then."""

THREADS = 2
RETRY_AFTER_SECONDS = 2


class _Asked(NamedTuple):
    """What a request asks of a model."""

    id: str | None
    wanted: tuple[Wanted, ...]
    columns: Columns


def serving_of(predictor: Predictor, settings: Settings, path: Mapping[str, str]) -> Serving:
    """Return what serves now, if that is what a path means: the one reference that a request uses to its end.

    Raises ProblemError: 404 for another model, or a version that does not serve, 503 before there is one.
    """
    name, version = path["name"], path.get("version")
    own = settings.serve.model_name
    if name != own:
        detail = f"there is no model {clipped(name)!r} here; this server has {clipped(own)!r}"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail)
    serving = predictor.current
    if serving is None:
        detail = f"there is no model yet: {predictor.ready()}"
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_seconds=RETRY_AFTER_SECONDS)
    if version is not None and version != serving.checkpoint_id:
        detail = f"version {clipped(version)!r} does not serve; {serving.checkpoint_id!r} does"
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{detail}, and is asked without a version as well")
    return serving


class InferEndpoint:
    """Answers inferences as a bare ASGI application; see ``service.serve.predictions``."""

    def __init__(self, settings: Settings, predictor: Predictor, batcher: Batcher) -> None:
        self._settings = settings
        self._predictor = predictor
        self._batcher = batcher
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="infer")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol); raises ProblemError."""
        with self._batcher.places:
            body = await read_body(scope, receive, self._settings.serve, media_types=MEDIA_TYPES)
            serving = serving_of(self._predictor, self._settings, scope["path_params"])
            head = head_of(scope["headers"])
            if len(body) <= INLINE_BYTES and head.encoding is None:
                asked = self._read(body, head, serving)
            else:
                asked = await in_thread(self._threads, self._read, body, head, serving)
            outputs = await self._outputs(serving, asked.columns)
            if len(outputs) <= serving.inline_rows:
                answer = self._encode(serving, asked, outputs)
            else:
                answer = await in_thread(self._threads, self._encode, serving, asked, outputs)
        headers = [(b"content-length", b"%d" % len(answer.body))]
        if answer.json_bytes is None:
            headers.append((b"content-type", b"application/json"))
        else:
            headers.append((b"content-type", b"application/octet-stream"))
            headers.append((HEADER_LENGTH.lower().encode(), b"%d" % answer.json_bytes))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _read(self, body: bytes, head: Head, serving: Serving) -> _Asked:
        model, limits = serving.model, self._settings.serve
        elements = model.columns.width + len(model.columns.categorical)
        request = parse_request(body, head, limits, elements_per_row=elements)
        wanted = wanted_of(request, model.task)
        return _Asked(request.id, wanted, columns_of(request.tensors, model, limits))

    async def _outputs(self, serving: Serving, columns: Columns) -> FloatArray:
        try:
            return await self._batcher.outputs(serving, columns.numbers, columns.codes, columns.texts)
        except ProblemError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            rows = ", ".join(fault.pointer.rpartition("/")[2] for fault in error.errors)
            raise refused(f"{error.detail} (row {clipped(rows)})") from None  # which is 400 in the protocol

    def _encode(self, serving: Serving, asked: _Asked, outputs: FloatArray) -> Answer:
        name, warning = self._settings.serve.model_name, asked.columns.warning
        return answer_of(serving, name, outputs, asked.wanted, request_id=asked.id, warning=warning)
