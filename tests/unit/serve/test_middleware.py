"""Each request has an id that client and log share, and its answer the headers that keep it safe."""

import io
import json
import logging

import pytest
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.logs import configure_logs
from service.observer import Observer
from service.serve.middleware import Watched
from service.settings import Log
from tests.unit.serve.builders import INSTANCE, answering, problem_of
from tests.unit.serve.running import Service

log = structlog.get_logger(__name__)

PATHS = {
    "/v1/status": 200,
    "/healthz": 200,
    "/metrics": 200,
    "/docs": 200,
    "/openapi.json": 200,
    "/nope": 404,
    "/v1/predict": 405,
    "/v1/checkpoints/none": 404,
    "/v1/status?" + "x" * 10_000: 414,
}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_an_id_and_is_kept_by_nobody(ready: Service, path: str) -> None:
    """Errors too; two requests have two ids."""
    first, second = ready.client.get(path), ready.client.get(path)
    assert first.status_code == PATHS[path]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cache-control"] == "no-store"
    assert "server" not in first.headers
    if first.status_code >= 400:
        assert problem_of(first, PATHS[path])["request_id"] == first.headers["x-request-id"]


def test_what_never_changes_may_be_kept(ready: Service) -> None:
    """The files of the page /docs."""
    assert "max-age" in ready.client.get("/docs/swagger-ui.css").headers["cache-control"]


def test_a_sane_id_of_the_client_is_taken_over(ready: Service) -> None:
    """In the header, in problem details, and on success as on failure."""
    headers = {"x-request-id": "Trace-1.a_b"}
    assert ready.client.post("/v1/predict", json={"instances": [INSTANCE]}, headers=headers).headers[
        "x-request-id"
    ] == ("Trace-1.a_b")
    assert problem_of(ready.client.get("/nope", headers=headers), 404)["request_id"] == "Trace-1.a_b"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a\tb", "<script>", "\xe9", "a;b", "../a"])
def test_any_other_id_is_replaced(ready: Service, sent: str) -> None:
    """What could confuse a log, or whoever reads it, gets in nowhere."""
    response = ready.client.get("/v1/status", headers={"x-request-id": sent.encode("latin-1")})
    assert response.headers["x-request-id"] != sent
    assert response.headers["x-request-id"].isalnum()


def test_every_log_line_of_a_request_has_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and a library's, on the event loop and in a thread; a failure's with the trace that no client ever sees."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)
    configure_logs(Log(format="json", level="debug"))

    async def route(_: Request) -> Response:
        log.info("on the loop")
        logging.getLogger("kafka.conn").warning("of a library")
        await run_in_threadpool(log.info, "in a thread")
        raise RuntimeError("the secret of the store")

    async def calm(_: Request) -> Response:
        return PlainTextResponse("calm")

    app = Starlette(routes=[Route("/r", route), Route("/calm", calm)])
    app.add_middleware(Watched, observer=Observer())
    with answering(app) as client:
        response = client.get("/r?token=do-not-log-me", headers={"x-request-id": "the-id"})
        client.get("/calm")
    structlog.reset_defaults()
    problem = problem_of(response, 500)
    assert problem["request_id"] == "the-id"
    assert "secret" not in response.text
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    of_request = [line["event"] for line in lines if line.get("request_id") == "the-id"]
    assert of_request == ["on the loop", "of a library", "in a thread", "request failed", "request"]
    failed = next(line for line in lines if line["event"] == "request failed")
    assert "the secret of the store" in failed["exception"]
    assert "do-not-log-me" not in written.getvalue()
    assert [line["level"] for line in lines if line["event"] == "request"] == ["debug", "debug"]


def test_while_it_stops_answers_close_their_connection() -> None:
    """So that a client with a kept connection turns to another server."""

    async def calm(_: Request) -> Response:
        return PlainTextResponse("calm")

    stopping: list[bool] = []
    app = Starlette(routes=[Route("/", calm)])
    app.add_middleware(Watched, observer=Observer(), closing=lambda: bool(stopping))
    with answering(app) as client:
        assert "connection" not in client.get("/").headers
        stopping.append(True)
        assert client.get("/").headers["connection"] == "close"
