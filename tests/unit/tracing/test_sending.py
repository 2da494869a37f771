"""Spans on their way to a collector that is away, hangs, or comes back."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from service.errors import ConfigurationError
from service.settings import Settings, Telemetry
from service.tracing import sending
from service.tracing.sending import Delivery, Queue, Sending
from tests.ports import free_port


@pytest.fixture
def hanging() -> Iterator[str]:
    """Yield the address of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_collector_that_is_away_costs_nothing_but_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """More spans than the queue holds are made and ended at once; the stop comes to its end; two lines tell."""
    monkeypatch.setattr(sending, "FLUSH_SECONDS", 0.1)
    deadline = time.monotonic() + 60
    with capture_logs() as logs:
        to = Sending(Telemetry(traces=True, endpoint=f"http://127.0.0.1:{free_port()}"), "trainer")
        for _ in range(5_000):
            to.tracer.start_span("round").end()
        to.close()
        while len(told := [line for line in logs if line["log_level"] == "warning"]) < 2:
            assert time.monotonic() < deadline, logs
            time.sleep(0.01)
    assert {line["event"]: line.get("lost_spans") for line in told} == {
        "the collector takes no traces; nothing else is affected": None,
        "spans were lost that the collector has not taken": 5_000,
    }


def test_a_stop_does_not_wait_for_a_collector_that_hangs(hanging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop goes on though the sending has not ended."""
    monkeypatch.setattr(sending, "FLUSH_SECONDS", 0.1)
    to = Sending(Telemetry(traces=True, endpoint=hanging), "trainer")
    to.tracer.start_span("round").end()
    to.close()
    assert any(thread.name == "flush" for thread in threading.enumerate())


def test_trouble_is_told_when_it_begins_and_when_it_ends() -> None:
    """Not with each batch; an exporter that raises is trouble like the others."""
    answers: list[SpanExportResult | Exception] = [
        SpanExportResult.FAILURE,
        RuntimeError("no"),
        SpanExportResult.SUCCESS,
        SpanExportResult.SUCCESS,
    ]

    class Moody(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            assert spans
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    delivery = Delivery(Moody(), "https://user:hunter2@collector:4318/v1/traces")
    spans = [ReadableSpan("round") for _ in range(8)]
    with capture_logs() as logs:
        for span in spans:
            delivery.ended(span)
        for first in range(0, 8, 2):
            delivery.export(spans[first : first + 2])
    told = [line for line in logs if line["log_level"] != "debug"]
    assert [(line["event"], line["collector"]) for line in told] == [
        ("the collector takes no traces; nothing else is affected", "https://collector:4318/v1/traces"),
        ("the collector takes traces again", "https://collector:4318/v1/traces"),
    ]
    assert told[1]["lost_spans"] == 4
    delivery.give_up()
    assert delivery.export(spans) is SpanExportResult.FAILURE  # and the exporter is not asked


def test_what_the_queue_drops_is_lost_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that comes back learns of the newest; all others that had ended were lost, and none is told twice."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")
    tried, back, taken = threading.Event(), threading.Event(), threading.Event()

    class Away(SpanExporter):
        def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
            if back.is_set():
                taken.set()
                return SpanExportResult.SUCCESS
            tried.set()
            assert back.wait(60)
            return SpanExportResult.FAILURE

    delivery = Delivery(Away(), "http://collector:4318")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Queue(delivery))
    tracer = provider.get_tracer("test")
    with capture_logs() as logs:
        for _ in range(5):
            tracer.start_span("round").end()
        assert tried.wait(60)
        for _ in range(100):
            tracer.start_span("round").end()
        back.set()
        assert taken.wait(60)
        provider.shutdown()
        delivery.give_up()
    assert [line["lost_spans"] for line in logs if "lost_spans" in line] == [95]  # 5 refused, 90 dropped


def test_a_variable_that_cannot_be_understood_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with any other configuration: one line, exit code 2."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(ConfigurationError, match=r"OTEL_.*max_queue_size must be a positive"):
        Sending(Telemetry(traces=True), "server")


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("localhost:4318", "no URL of a collector"),
        ("http://", "no URL of a collector"),
        ("http://collector:99999", "no URL of a collector"),
        ("grpc://collector:4317", "no URL of a collector"),
        ("http://collector:4318?key=hunter2", "no URL of a collector"),
        ("http://user:hunter2@collector:4318", "credentials"),
    ],
)
def test_an_endpoint_is_a_plain_url(endpoint: str, words: str) -> None:
    """Credentials do not stand in a configuration file: they go by the environment."""
    with pytest.raises(ValueError, match=words):
        Settings.model_validate({"telemetry": {"endpoint": endpoint}})
