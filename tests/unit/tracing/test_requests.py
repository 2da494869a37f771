"""Spans of requests, batches and swaps."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from opentelemetry.trace import StatusCode
from starlette.types import Receive, Scope, Send

from service.model.learned import LearnedModel
from service.observer import Observer
from service.records import FloatArray
from service.serve.middleware import Watched
from service.serve.predictor import Serving
from service.settings import Serve
from service.tracing.requests import ServerSpans, TracedApp, TracedBatcher
from tests.unit.serve.builders import checkpoint_of, settings_in
from tests.unit.serve.test_batching import ages
from tests.unit.tracing.conftest import Kept

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Return a model that serves."""
    checkpoint = checkpoint_of(settings_in(tmp_path), "000001-00000000")
    model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
    return Serving(checkpoint.manifest.id, checkpoint.manifest, model, 0.0)


def ask(kept: Kept, answer: Callable[[], Any], *requests: tuple[str, dict[str, str]]) -> list[httpx.Response]:
    """Send requests, all at once, to a traced application that awaits ``answer``; return what came back."""

    async def plain(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = TracedApp(Watched(plain, ServerSpans(kept.tracer)), kept.tracer)

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            calls = [asyncio.create_task(client.get(path, headers=headers)) for path, headers in requests]
            return list(await asyncio.gather(*calls))

    return asyncio.run(send())


async def nothing() -> None:
    """Take no time."""


def test_the_trace_of_the_caller_goes_on(kept: Kept) -> None:
    """By W3C's traceparent; the span knows how the request was asked and answered, and its id."""
    ask(kept, nothing, ("/v1/predict", {"traceparent": SAMPLED, "x-request-id": "r-1", "user-agent": "test"}))
    made = kept.spans()["GET"]
    assert made.context is not None
    assert made.parent is not None
    assert (made.context.trace_id, made.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))
    assert made.attributes is not None
    assert dict(made.attributes) | {"client.address": ""} == {
        "http.request.method": "GET",
        "url.path": "/v1/predict",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "",
        "user_agent.original": "test",
        "http.response.status_code": 200,
        "freshet.request.id": "r-1",
    }


@pytest.mark.parametrize(
    ("share", "path", "headers", "traced"),
    [
        (1.0, "/", {}, True),
        (0.0, "/", {}, False),
        (0.0, "/", {"traceparent": SAMPLED}, True),
        (1.0, "/", {"traceparent": UNSAMPLED}, False),
        (1.0, "/", {"traceparent": "nonsense"}, True),
        (1.0, "/readyz", {"traceparent": SAMPLED}, False),
        (1.0, "/metrics", {}, False),
    ],
)
def test_the_caller_decides_else_the_share(
    kept_of: Callable[[float], Kept], share: float, path: str, headers: dict[str, str], traced: bool
) -> None:
    """Probes and scrapes are never traced; a traceparent that is none is no decision."""
    kept = kept_of(share)
    assert [answer.status_code for answer in ask(kept, nothing, (path, headers))] == [200]
    assert bool(kept.spans()) == traced


def test_log_lines_of_a_request_carry_its_ids(kept: Kept) -> None:
    """The ids of the span and that of the request, even where the trace is not sampled."""
    seen: list[dict[str, Any]] = []

    async def look() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    ask(kept, look, ("/", {"traceparent": UNSAMPLED, "x-request-id": "r-1"}), ("/healthz", {"x-request-id": "r-2"}))
    assert seen[0] | {"span_id": ""} == {"request_id": "r-1", "trace_id": TRACE, "span_id": ""}
    assert seen[1] == {"request_id": "r-2"}


@pytest.mark.parametrize(
    ("path", "kept_names"), [("/", {"request_id", "trace_id", "span_id"}), ("/readyz", {"request_id"})]
)
def test_log_lines_say_nothing_of_the_request_before(kept: Kept, path: str, kept_names: set[str]) -> None:
    """A request that was sent ahead on a connection has the context of the one before it."""
    seen: list[dict[str, Any]] = []

    async def look() -> None:
        seen.append(structlog.contextvars.get_contextvars())

    with structlog.contextvars.bound_contextvars(trace_id="old", span_id="old", checkpoint="000001-00000000"):
        ask(kept, look, (path, {}))
    assert {*seen[0]} == kept_names
    assert "old" not in seen[0].values()


def test_an_error_of_ours_is_an_error_of_the_span(kept: Kept) -> None:
    """By its status code, as the conventions want it."""

    async def fail() -> None:
        raise RuntimeError("no")

    assert [answer.status_code for answer in ask(kept, fail, ("/", {}))] == [500]
    made = kept.spans()["GET"]
    assert made.status.status_code is StatusCode.ERROR
    assert (made.attributes or {})["error.type"] == "500"


def test_a_batch_is_linked_to_the_requests_that_it_answers(kept: Kept, serving: Serving) -> None:
    """It is a child of the first, has links to all, and the others have a link to it; each knows its checkpoint."""
    batcher = TracedBatcher(Serve(), Observer(), kept.tracer)
    logged: list[dict[str, Any]] = []

    async def predict() -> FloatArray:
        outputs = await batcher.outputs(serving, *ages(30.0, 40.0))
        logged.append(structlog.contextvars.get_contextvars())
        return outputs

    ask(kept, predict, ("/a", {"traceparent": SAMPLED}), ("/b", {}), ("/c", {"traceparent": UNSAMPLED}))
    spans = kept.spans()
    batch = spans["batch"]
    assert batch.context is not None
    assert batch.parent is not None
    assert dict(batch.attributes or {}) == {
        "freshet.batch.requests": 3,
        "freshet.batch.instances": 6,
        "freshet.checkpoint.id": serving.checkpoint_id,
    }
    assert batch.context.trace_id == int(TRACE, 16)
    assert len(batch.links) == 2
    assert batch.links[0].context.span_id == batch.parent.span_id
    other = spans["GET"]  # the last to end, by this name
    assert other.context is not None
    assert (other.attributes or {})["freshet.checkpoint.id"] == serving.checkpoint_id
    assert (other.attributes or {})["freshet.request.instances"] == 2
    assert other.context.span_id in {link.context.span_id for link in batch.links}
    assert logged[0]["checkpoint"] == serving.checkpoint_id


def test_a_swap_is_a_trace_of_its_own_whatever_the_share(kept_of: Callable[[float], Kept]) -> None:
    """With the checkpoint and, where it failed, how."""
    kept = kept_of(0.0)
    spans = ServerSpans(kept.tracer)
    spans.swap_began("000001-00000000")
    spans.swapped("damaged")
    damaged = kept.spans()["swap"]
    spans.swap_began(None)
    spans.serving("000002-00000000", 0.0, 0.0)
    spans.swapped("swapped")
    swapped = kept.spans()["swap"]
    assert damaged.status.status_code is StatusCode.ERROR
    assert dict(damaged.attributes or {}) == {
        "freshet.swap.outcome": "damaged",
        "freshet.checkpoint.id": "000001-00000000",
        "error.type": "damaged",
    }
    assert dict(swapped.attributes or {}) == {
        "freshet.swap.outcome": "swapped",
        "freshet.checkpoint.id": "000002-00000000",
    }
