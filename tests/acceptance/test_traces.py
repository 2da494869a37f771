"""Trainer and server as real processes send their spans to a real receiver of OTLP over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.conftest import ANSWER_SECONDS, MakeService, eventually
from tests.acceptance.nursery import Nursery
from tests.acceptance.streams import events

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass(frozen=True)
class Received:
    """One span as a collector sees it; ids in hexadecimal, empty for a parent that there is not."""

    role: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class Collector:
    """What has arrived."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)

    def named(self, name: str, **attributes: Any) -> list[Received]:
        """Return the spans of a name that have these attributes; dots are written as underscores."""
        return [
            span
            for span in self.spans
            if span.name == name
            and all(span.attributes.get(key.replace("_", ".")) == value for key, value in attributes.items())
        ]

    def take(self, body: bytes) -> None:
        """Take one request in."""
        for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = plain(of_process.resource.attributes)
            for scope in of_process.scope_spans:
                self.spans += [
                    Received(
                        role=about["service.name"],
                        name=span.name,
                        trace=span.trace_id.hex(),
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        links=tuple(link.span_id.hex() for link in span.links),
                        attributes=plain(span.attributes),
                    )
                    for span in scope.spans
                ]


def plain(attributes: Any) -> dict[str, Any]:
    """Return protobuf's pairs as a dictionary."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a receiver on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()


def only(spans: list[Received]) -> Received:
    """Return the one span that there is to be."""
    assert len(spans) == 1, spans
    return spans[0]


def line(said: str, event: str, **about: Any) -> dict[str, Any]:
    """Return the first log line of an event that says this."""
    lines = [json.loads(text) for text in said.splitlines() if text.startswith("{")]
    return next(one for one in lines if one["event"] == event and about.items() <= one.items())


def test_request_batch_round_and_swap_are_joined_by_ids(make_service: MakeService, nursery: Nursery) -> None:
    """A caller's trace goes through request and batch; its checkpoint leads to swap and round, and to the log lines."""
    with collecting() as collector:
        service = make_service(
            nursery=nursery,
            telemetry={"traces": True, "endpoint": collector.url, "sample": 0.0},
            log={"level": "debug"},
        )
        roles = [service.start("train"), service.start("serve")]
        service.send("events", events(400))
        service.await_ready()
        answer = httpx.post(
            f"http://127.0.0.1:{service.server_port}/v1/predict",
            json={"instances": [{"a": 1.0, "b": 0.5}, {"a": -1.0, "b": 0.5}]},
            headers={"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "r-1"},
            timeout=ANSWER_SECONDS,
        )
        checkpoint = answer.json()["checkpoint"]["id"]
        eventually(lambda: service.status().get("roles", {}).get("champion"), "the round to be over")
        for role in roles:
            role.terminate()
            assert role.wait(30) == 0
    request = only(collector.named("POST /v1/predict"))
    assert (request.role, request.trace, request.parent) == ("freshet-server", TRACE, CALLER)
    assert request.attributes["freshet.request.id"] == answer.headers["x-request-id"] == "r-1"
    assert request.attributes["freshet.request.instances"] == 2
    assert request.attributes["freshet.checkpoint.id"] == checkpoint
    batch = only(collector.named("batch"))
    assert (batch.trace, batch.parent, batch.links) == (TRACE, request.id, (request.id,))
    only(collector.named("swap", freshet_checkpoint_id=checkpoint))
    whole = only(collector.named("round", freshet_checkpoint_id=checkpoint))
    assert whole.role == "freshet-trainer"
    assert whole.attributes["freshet.gate.decision"] == "promote"
    phases = [span.name for span in collector.spans if span.parent == whole.id]
    assert sorted(phases) == ["prepare", "publish", "train", "validate"]
    told = line(service.said(0, "train"), "candidate promoted", checkpoint=checkpoint)
    assert (told["trace_id"], told["span_id"], told["round"]) == (whole.trace, whole.id, 1)
    told = line(service.said(1, "serve"), "request", request_id="r-1")
    assert (told["trace_id"], told["span_id"], told["checkpoint"]) == (TRACE, request.id, checkpoint)
