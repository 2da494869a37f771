"""Where spans go: sampled, gathered, and sent by a thread in the background. Whatever becomes of them harms nobody."""

import logging
import os
import socket
import threading
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
            processor = BatchSpanProcessor(self._delivery)
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

    ``collector`` is where they go, without credentials.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self.collector = _plain(endpoint)
        self._exporter = exporter
        self._lost = 0
        self._given_up = False

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
            if not self._lost:
                log.warning("the collector takes no traces; nothing else is affected", collector=self.collector)
            self._lost += len(spans)
        elif self._lost:
            log.info("the collector takes traces again", collector=self.collector, lost_spans=self._lost)
            self._lost = 0
        return result

    def give_up(self) -> None:
        """Send nothing more, and do not wait to try again."""
        self._given_up = True
        self._exporter.shutdown()

    def shutdown(self) -> None:
        """End (the SDK's interface)."""
        self._exporter.shutdown()


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
