"""Where spans go: sampled, gathered, and sent by a thread in the background. Whatever becomes of them harms nobody."""

import logging
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Tracer, TraceState
from opentelemetry.util.types import Attributes

from service import __version__
from service.errors import ConfigurationError
from service.settings import Telemetry

FLUSH_SECONDS = 2.0
"""Longest that a stop waits for the collector; what it has not taken by then is lost."""

PATH = "/v1/traces"

log = structlog.get_logger(__name__)


class Sending:
    """A tracer of one role, and the thread that sends its spans.

    Raises ConfigurationError if an OTEL_* variable cannot be understood.
    """

    def __init__(self, telemetry: Telemetry, role: str) -> None:
        endpoint = telemetry.endpoint and telemetry.endpoint.rstrip("/") + PATH
        try:
            self._delivery = Delivery(OTLPSpanExporter(endpoint=endpoint), endpoint or _of_environment())
            processor = Queue(self._delivery)
        except ValueError as error:
            raise ConfigurationError(f"OpenTelemetry's own variables, OTEL_…, in the environment: {error}") from None
        # It would tell of every batch that a collector does not take; we tell when it begins and when it ends.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider(
            sampler=sampler_of(telemetry.sample), resource=_resource(role), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self.tracer: Tracer = self._provider.get_tracer("freshet", __version__)
        log.info("traces are sent", collector=self._delivery.collector)

    def close(self) -> None:
        """Send what is left, for FLUSH_SECONDS at the longest."""
        flush = threading.Thread(target=self._provider.shutdown, name="flush", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)
        self._delivery.give_up()


def sampler_of(share: float) -> Sampler:
    """Return what decides about traces: the caller if there is one and it does, else ``Roots``."""
    return ParentBased(root=Roots(share))


class Roots(Sampler):
    """Takes a share of the requests whose caller does not say, and all else that begins here: it is rare."""

    def __init__(self, share: float) -> None:
        self._requests = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about one trace (the SDK's interface)."""
        sampler = self._requests if kind is SpanKind.SERVER else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """Say what it does (the SDK's interface)."""
        return f"Roots{{requests={self._requests.rate}}}"


class Delivery(SpanExporter):
    """Hands spans to an exporter; tells once when they are not taken, and how many were lost when they are again.

    Lost is what was ended and not taken, whether the queue dropped it or the collector refused it; spans come in the
    order in which they ended, so what was ended before the newest that was taken is known. ``collector`` is where they
    go, without credentials.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self.collector = _plain(endpoint)
        self._exporter = exporter
        self._away = False
        self._given_up = False
        self._ended = self._taken = self._told = 0
        self._numbers: weakref.WeakKeyDictionary[ReadableSpan, int] = weakref.WeakKeyDictionary()

    def ended(self, span: ReadableSpan) -> None:
        """Count a span that will be exported, unless it is dropped; in the order in which they are queued."""
        self._ended += 1
        self._numbers[span] = self._ended

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some spans (the SDK's interface)."""
        if self._given_up:
            return SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must end here
            log.debug("spans could not be sent", problem=f"{type(error).__name__}: {error}")
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            if not self._away:
                log.warning("the collector takes no traces; nothing else is affected", collector=self.collector)
            self._away = True
            return result
        self._taken += len(spans)
        if self._away:
            lost = self._lost(self._numbers[spans[-1]])
            log.info("the collector takes traces again", collector=self.collector, lost_spans=lost)
            self._away = False
        return result

    def give_up(self) -> None:
        """Send nothing more, do not wait to try again, and tell what that has cost."""
        self._given_up = True
        self._exporter.shutdown()
        lost = self._lost(self._ended)
        if lost:
            log.warning("spans were lost that the collector has not taken", collector=self.collector, lost_spans=lost)

    def _lost(self, until: int) -> int:
        """Return how many of the first so many spans were lost, without those that were told before."""
        lost = until - self._taken - self._told
        self._told += lost
        return lost

    def shutdown(self) -> None:
        """End (the SDK's interface)."""
        self._exporter.shutdown()


class Queue(BatchSpanProcessor):
    """The spans that wait for a delivery, which knows of each."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(delivery)
        self._delivery = delivery
        self._in_order = threading.Lock()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span (the SDK's interface)."""
        if span.context and span.context.trace_flags.sampled:
            with self._in_order:
                self._delivery.ended(span)
                super().on_end(span)


def _resource(role: str) -> Resource:
    ours: dict[str, str | int] = {
        "service.namespace": "freshet",
        "service.name": f"freshet-{role}",
        "service.version": __version__,
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "process.pid": os.getpid(),
    }
    # Merged last: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are whoever deploys it speaking.
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _of_environment() -> str:
    variables = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next((os.environ[name] for name in variables if os.environ.get(name)), "http://localhost:4318")


def _plain(endpoint: str) -> str:
    url = urlsplit(endpoint)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
