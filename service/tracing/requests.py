"""Spans of a server: each request, each batch with links to the requests that it answers, each swap."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar

import structlog
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_SCHEME
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.batching import Batcher, Question, Row
from service.serve.middleware import UNKNOWN_ROUTE
from service.serve.predictor import Serving
from service.serve.problems import REQUEST_ID as LOGGED_REQUEST_ID
from service.serve.problems import clipped
from service.settings import Serve, Settings
from service.tracing import names
from service.tracing.both import Both
from service.tracing.ids import ids_of
from service.tracing.sending import Sending

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Who asks these asks every few seconds; their traces would bury the others."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
CARRIED = {b"traceparent": "traceparent", b"tracestate": "tracestate"}
SERVER_ERROR = 500

_request: ContextVar[Span | None] = ContextVar("request_span", default=None)
_propagator = TraceContextTextMapPropagator()


def traced_server(
    settings: Settings, observer: Observer
) -> tuple[Observer, Batcher, Callable[[ASGIApp], ASGIApp], Callable[[], None]]:
    """Return the parts of a traced server, in the order of ``server.ServerParts``."""
    sending = Sending(settings.telemetry, "server")
    tracer = sending.tracer
    both = Both(observer, ServerSpans(tracer))
    return both, TracedBatcher(settings.serve, both, tracer), lambda app: TracedApp(app, tracer), sending.close


class TracedApp:
    """An application, with a span around each request; log lines of the request carry its ids."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI protocol)."""
        # A request sent ahead has the context of the one before.
        structlog.contextvars.unbind_contextvars("trace_id", "span_id", "checkpoint")
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            _request.set(None)
            await self._app(scope, receive, send)
            return
        span = self._tracer.start_span(
            _method(scope), context=_caller(scope["headers"]), kind=SpanKind.SERVER, attributes=_described(scope)
        )
        _request.set(span)
        structlog.contextvars.bind_contextvars(**ids_of(span))
        try:
            await self._app(scope, receive, send)
        finally:
            span.end()


class ServerSpans(Observer):
    """Completes the span of a request when it is answered, and makes one of each swap."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._swap: tuple[int, str | None] | None = None
        self._serving: str | None = None

    def request_ended(self, route: str, status: int, seconds: float) -> None:  # noqa: ARG002 - the span has a clock
        """Name the span by its route, and note the answer."""
        span = _request.get()
        if span is None or not span.is_recording():
            return
        method = getattr(span, "name", "HTTP")
        if route != UNKNOWN_ROUTE:
            span.update_name(f"{method} {route}")
            span.set_attribute(HTTP_ROUTE, route)
        span.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
        request_id = structlog.contextvars.get_contextvars().get(LOGGED_REQUEST_ID)
        if request_id is not None:
            span.set_attribute(names.REQUEST_ID, request_id)
        if status >= SERVER_ERROR:
            span.set_attribute(ERROR_TYPE, str(status))
            span.set_status(StatusCode.ERROR)

    def swap_began(self, checkpoint_id: str | None) -> None:
        """Note when the reading of a checkpoint began."""
        self._swap = time.time_ns(), checkpoint_id

    def serving(self, checkpoint_id: str, created_seconds: float, trained_until_seconds: float) -> None:  # noqa: ARG002
        """Note what the swap under way brought."""
        self._serving = checkpoint_id

    def swapped(self, outcome: str) -> None:
        """Make the span of a swap, from its begin until now."""
        (began, checkpoint_id), self._swap = self._swap or (time.time_ns(), None), None
        swapped = outcome == "swapped"
        checkpoint_id = self._serving if swapped else checkpoint_id
        span = self._tracer.start_span(names.SWAP, context=Context(), start_time=began)
        span.set_attribute(names.SWAP_OUTCOME, outcome)
        if checkpoint_id is not None:
            span.set_attribute(names.CHECKPOINT, checkpoint_id)
        if not swapped:
            span.set_attribute(ERROR_TYPE, outcome)
            span.set_status(StatusCode.ERROR)
        span.end()


class TracedBatcher(Batcher):
    """A batcher that makes a span of each batch with a traced request in it: child of the first, linked to all."""

    def __init__(self, serve: Serve, observer: Observer, tracer: Tracer) -> None:
        super().__init__(serve, observer)
        self._tracer = tracer
        self._askers: dict[int, Span] = {}

    async def outputs(
        self, serving: Serving, numbers: FloatArray, codes: IntArray, came_from: Sequence[Row] | None = None
    ) -> FloatArray:
        """Answer as ``Batcher`` does, and remember whose question it is."""
        span = _request.get()
        if span is None or not span.is_recording():
            return await super().outputs(serving, numbers, codes, came_from)
        span.set_attribute(names.CHECKPOINT, serving.checkpoint_id)
        span.set_attribute(names.INSTANCES, len(numbers))
        structlog.contextvars.bind_contextvars(checkpoint=serving.checkpoint_id)
        asked = id(numbers)  # it lives as long as the question
        self._askers[asked] = span
        try:
            return await super().outputs(serving, numbers, codes, came_from)
        finally:
            del self._askers[asked]

    def attempt(self, batch: list[Question]) -> tuple[FloatArray | None, Exception | None]:
        """Answer as ``Batcher`` does, within a span."""
        askers = [span for asked in batch if (span := self._askers.get(id(asked.numbers))) is not None]
        if not askers:
            return super().attempt(batch)
        span = self._tracer.start_span(
            names.BATCH,
            context=set_span_in_context(askers[0], Context()),
            links=[Link(asker.get_span_context()) for asker in askers],
            attributes={
                names.BATCH_REQUESTS: len(batch),
                names.BATCH_INSTANCES: sum(len(asked.numbers) for asked in batch),
                names.CHECKPOINT: batch[0].serving.checkpoint_id,
            },
        )
        for asker in askers[1:]:
            asker.add_link(span.get_span_context())
        try:
            outputs, error = super().attempt(batch)
            if error is not None:
                span.set_attribute(ERROR_TYPE, type(error).__name__)
                span.set_status(StatusCode.ERROR)
            return outputs, error
        finally:
            span.end()


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "HTTP"


def _caller(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    carried = {CARRIED[name]: value.decode("latin-1") for name, value in headers if name in CARRIED}
    return _propagator.extract(carried, Context()) if carried else Context()


def _described(scope: Scope) -> dict[str, str]:
    described = {
        HTTP_REQUEST_METHOD: scope["method"] if scope["method"] in METHODS else "_OTHER",
        URL_PATH: clipped(scope["path"]),
        URL_SCHEME: scope["scheme"],
        NETWORK_PROTOCOL_VERSION: scope["http_version"],
    }
    if scope.get("client"):
        described[CLIENT_ADDRESS] = scope["client"][0]
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), None)
    if agent is not None:
        described[USER_AGENT_ORIGINAL] = clipped(agent.decode("latin-1"))
    return described
