"""Spans that stay in memory."""

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from service.tracing.sending import sampler_of


class Kept:
    """A tracer, and what it has made."""

    def __init__(self, share: float) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler_of(share), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the ended spans by name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def kept_of() -> Callable[[float], Kept]:
    """Return what makes a tracer that samples a share of requests."""
    return Kept


@pytest.fixture
def kept() -> Kept:
    """Return a tracer that samples everything."""
    return Kept(1.0)
