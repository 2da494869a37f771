"""The Python client against real servers: the whole one, the application, and one that breaks off."""

import asyncio
import json
import logging
import math
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from service.client import (
    AsyncClient,
    Client,
    Event,
    FreshetHTTPError,
    InvalidRequestError,
    NoAnswerError,
    NotAllowedError,
    NotFoundError,
    Retries,
    TooLargeError,
    UnavailableError,
    UnreadableAnswerError,
    UnsendableError,
)
from tests.ports import free_port
from tests.unit.serve.builders import INSTANCE, answering, model_of, publish, settings_in
from tests.unit.serve.running import running, served

TOKEN = "a-token-of-this-test-alone"  # noqa: S105 - lets nobody in
QUICK = Retries(most=2, first_pause_seconds=0.01, longest_pause_seconds=0.05)
EVENT = {"id": "e1", "ts": 1_700_000_000_000, "features": INSTANCE, "label": "yes"}


def ages(count: int) -> list[dict[str, Any]]:
    """Return instances that differ."""
    return [{**INSTANCE, "age": 20 + index / 100} for index in range(count)]


def url_of(settings: Any) -> str:
    """Return where a server answers."""
    return f"http://127.0.0.1:{settings.serve.port}"


def test_every_call_is_answered_by_a_whole_server(tmp_path: Path) -> None:
    """Typed, and with the values that the checkpoint gives."""
    settings = settings_in(tmp_path)
    with served(settings), Client(url_of(settings)) as client:
        assert not client.ready()
        assert "no checkpoint" in str(client.ready().detail)
        assert client.healthy()
        checkpoint_id = publish(settings)
        client.wait_until_ready()
        answer = client.predict([INSTANCE, {**INSTANCE, "city": "Atlantis", "income": None}])
        status, entries, manifest = client.status(), client.checkpoints(), client.checkpoint(checkpoint_id)
        sent = client.send_events([EVENT, Event(features=INSTANCE, label="perhaps")])
    expected = model_of(settings, checkpoint_id).predict(np.array([[41.0, 1200.5, 1.0]]), np.array([[2]]))
    assert list(answer.predictions[0].scores.values()) == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert answer.predictions[0].label in {"no", "yes"}
    assert "Atlantis" in answer.predictions[1].warnings[0]
    assert answer.checkpoint.id == checkpoint_id == manifest.id == entries[0].id
    assert status.serving is not None
    assert status.serving.labels == ("no", "yes")
    assert status.serving.trained_until == manifest.trained_until == answer.checkpoint.trained_until
    assert (sent.accepted, [(one.index, one.reason) for one in sent.rejected]) == (1, [(1, "unknown_label")])


@pytest.mark.parametrize("batch_size", [7, 100, 1_000])
def test_many_instances_keep_their_order(tmp_path: Path, batch_size: int) -> None:
    """However they are split, also where the server takes fewer at once; a generator is read as it goes."""
    settings = settings_in(tmp_path, max_instances=64)
    checkpoint_id = publish(settings)
    instances = ages(300)
    with running(settings) as server, Client(str(server.client.base_url)) as client:
        found = list(client.predict_many(iter(instances), batch_size=batch_size))
        one_by_one = [client.predict([instance]).predictions[0] for instance in instances[::50]]
        with pytest.raises(TooLargeError):
            client.predict(instances)
        assert list(client.predict_many([])) == []
    assert {checkpoint.id for _, checkpoint in found} == {checkpoint_id}
    assert len(found) == 300
    for quick, slow in zip(found[::50], one_by_one, strict=True):
        assert quick.prediction.scores == pytest.approx(slow.scores, abs=1e-6)
    assert len({prediction.scores["yes"] for prediction, _ in found}) > 250


def test_an_error_names_the_place_among_all_instances(tmp_path: Path) -> None:
    """Whether the server finds it or the client; what came before was answered."""
    settings = settings_in(tmp_path)
    publish(settings)
    with running(settings) as server, Client(str(server.client.base_url)) as client:
        for fault, kind in (("x", InvalidRequestError), (math.nan, UnsendableError)):
            answers = client.predict_many([*ages(25), {**INSTANCE, "age": fault}], batch_size=10)
            for _ in range(20):
                next(answers)
            with pytest.raises(kind, match="/instances/25/age"):
                next(answers)


def test_many_events_are_all_handed_in(tmp_path: Path) -> None:
    """In requests as large as the server takes them; indexes count from the first of all."""
    settings = settings_in(tmp_path, max_instances=16)
    events: list[Any] = [{**EVENT, "id": str(index)} for index in range(100)]
    with running(settings) as server, Client(str(server.client.base_url)) as client:
        answer = client.send_many(events, batch_size=40)
        assert [event["id"] for event in server.desk.kept] == [str(index) for index in range(100)]
        server.desk.away = True
        with pytest.raises(UnavailableError) as caught:
            client.send_many(events)
    assert (answer.accepted, answer.rejected) == (100, ())
    assert caught.value.taken is not None
    assert caught.value.taken.accepted == 0
    assert caught.value.retry_after_seconds


def test_what_a_server_refuses_has_its_class(tmp_path: Path) -> None:
    """Status, field and request id are there for programs."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"other:admin:{TOKEN}\n")
    settings = settings_in(tmp_path, tokens_file=str(tokens), host="0.0.0.0")  # noqa: S104 - so that a token is needed
    with running(settings) as server:
        base = str(server.client.base_url)
        with Client(base, retries=Retries(most=0)) as client:
            with pytest.raises(UnavailableError) as busy:
                client.predict([INSTANCE])
            publish(settings)
            server.watcher.look()
            with pytest.raises(InvalidRequestError) as invalid:
                client.predict([{}])
            with pytest.raises(InvalidRequestError):
                client.predict([])
            with pytest.raises(NotFoundError):
                client.checkpoint("000009-abcdef01")
            with pytest.raises(NotAllowedError) as refused:
                client.send_events([EVENT])
        with Client(base, token=f"{TOKEN}-not") as other, pytest.raises(NotAllowedError):
            other.send_events([EVENT])
    assert busy.value.status == 503
    assert busy.value.retry_after_seconds is not None
    assert invalid.value.errors[0].pointer == "/instances/0/age"
    assert invalid.value.request_id
    assert refused.value.status == 401


def test_an_answer_is_explained_where_it_is_asked_for(tmp_path: Path) -> None:
    """Attributions and baseline add up to the score; of many instances, in as many requests as that takes."""
    settings = settings_in(tmp_path, explain={"max_instances": 4})
    publish(settings)
    with running(settings) as server, Client(str(server.client.base_url)) as client:
        assert client.predict([INSTANCE]).predictions[0].explanation is None
        found = [prediction for prediction, _ in client.predict_many(ages(9), explain=True)]
    for prediction in found:
        explanation = prediction.explanation
        assert explanation is not None
        assert explanation.unavailable is None
        assert (explanation.of, set(explanation.attributions)) == (prediction.label, set(INSTANCE))
        score = prediction.scores[str(prediction.label)]
        assert explanation.baseline is not None
        assert explanation.baseline + sum(explanation.attributions.values()) == pytest.approx(score, abs=1e-5)


def test_an_operator_promotes_and_pins(tmp_path: Path) -> None:
    """With a token of role admin; who lacks it changes nothing."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"ops:admin:{TOKEN}\n")
    settings = settings_in(tmp_path, tokens_file=str(tokens))
    first, second = publish(settings), publish(settings, seed=1)
    with running(settings) as server:
        base = str(server.client.base_url)
        with Client(base) as other, pytest.raises(NotAllowedError):
            other.pin(first)
        with Client(base, token=TOKEN) as client:
            promoted = client.promote(first, reason="it was better")
            pinned = client.pin(second, reason="an examination")
            entries = {entry.id: entry for entry in client.checkpoints()}
            removed = client.unpin(reason="it is over")
            again = client.unpin()
            history = client.history()
            with pytest.raises(NotFoundError):
                client.promote("000009-abcdef01")
            with pytest.raises(InvalidRequestError):
                client.history(limit=0)
    assert (promoted.latest.id, promoted.latest.by, promoted.latest.reason) == (first, "ops", "it was better")
    assert (pinned.pinned.id, pinned.replaced, pinned.latest) == (second, None, promoted.latest)
    assert entries[second].pinned
    assert entries[first].latest
    assert (removed.removed, removed.was) == (True, pinned.pinned)
    assert (again.removed, again.was) == (False, None)
    assert [entry.event for entry in history] == ["unpinned", "pinned", "promoted"]
    assert [entry.reason for entry in history] == ["it is over", "an examination", "it was better"]


@contextmanager
def scripted(handler: Callable[[Request], Any], prefix: str = "") -> Iterator[str]:
    """Run a server whose every answer is the handler's; yield its address."""

    async def endpoint(request: Request) -> Response:
        found = await handler(request)
        assert isinstance(found, Response)
        return found

    methods = ["GET", "POST"]
    routes = [Route("/{path:path}", endpoint, methods=methods)]
    with answering(Starlette(routes=[Mount(prefix, routes=routes)] if prefix else routes)) as client:
        yield str(client.base_url).rstrip("/") + prefix


GOOD = {
    "predictions": [{"label": "yes", "scores": {"yes": 1.0}}],
    "checkpoint": {"id": "000001-abcdef01", "trained_until": None},
}


def busy_at_first(times: int, counted: Counter[str]) -> Callable[[Request], Any]:
    """Return a handler that is busy for so many requests, and counts them by path."""

    async def handler(request: Request) -> Response:
        counted[request.url.path] += 1
        await request.body()
        if counted[request.url.path] <= times:
            return JSONResponse({"detail": "busy"}, 503, headers={"Retry-After": "0"})
        if request.url.path.endswith("/v1/events"):
            return JSONResponse({"accepted": 1, "rejected": []}, 202)
        return JSONResponse(GOOD)

    return handler


def test_a_busy_server_is_asked_again_behind_a_prefix_too() -> None:
    """Two refusals, then the answer; of events the first refusal is the caller's to decide on."""
    counted: Counter[str] = Counter()
    with scripted(busy_at_first(2, counted), "/models/a") as base, Client(base, retries=QUICK) as client:
        assert client.predict([{}]).predictions[0].label == "yes"
        assert counted == {"/models/a/v1/predict": 3}
        with pytest.raises(UnavailableError):
            client.send_events([{}])
        assert counted["/models/a/v1/events"] == 1
        assert client.send_events([{}], resend=True).accepted == 1
        assert counted["/models/a/v1/events"] == 3
    with scripted(busy_at_first(9, counted)) as base, Client(f"{base}/", retries=QUICK) as client:
        with pytest.raises(UnavailableError, match="busy"):
            client.predict([{}])
        assert counted["/v1/predict"] == 3


def test_both_clients_wait_as_long_as_they_are_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries, and no longer than allowed; nobody waits here, the waits are counted."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("service.client.blocking.sleep", waited.append)
    monkeypatch.setattr("service.client.awaiting.sleep", wait)

    async def busy(_: Request) -> Response:
        return JSONResponse({"detail": "busy"}, 503, headers={"Retry-After": "7"})

    async def ask(base: str) -> None:
        async with AsyncClient(base, retries=Retries(most=2, longest_pause_seconds=5)) as client:
            with pytest.raises(UnavailableError):
                await client.status()

    with scripted(busy) as base:
        with Client(base, retries=Retries(most=2, longest_pause_seconds=5)) as client:
            with pytest.raises(UnavailableError):
                client.status()
            assert waited == [5, 5]
        asyncio.run(ask(base))
    assert waited == [5] * 4


def request_from(peer: socket.socket) -> bytes:
    """Return a whole request: what is not read when the connection is closed takes the answer with it."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.recv(65_536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    while length is not None and len(body) < int(length[1]):
        body += peer.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def breaking_off(answers: Sequence[bytes | None]) -> Iterator[tuple[str, list[bytes]]]:
    """Take one connection after the other, read a request, answer or break off; yield address and requests."""
    seen: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            peer, _ = listener.accept()
            with peer:
                seen.append(request_from(peer))
                if answer is not None:
                    peer.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(10)


def whole(body: object, status: str = "200 OK") -> bytes:
    """Return an answer on the wire."""
    content = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content


def test_a_connection_that_breaks_costs_no_prediction_and_doubles_no_event() -> None:
    """A prediction is asked for again; events that may have been kept are not sent a second time unasked."""
    with breaking_off([None, whole(GOOD)[:-5], whole(GOOD)]) as (base, seen), Client(base, retries=QUICK) as client:
        assert client.predict([{}]).checkpoint.id == "000001-abcdef01"
        assert len(seen) == 3
    with breaking_off([None]) as (base, seen), Client(base, retries=QUICK) as client:
        with pytest.raises(NoAnswerError, match="may have carried it out") as caught:
            client.send_events([{}])
        assert caught.value.sent
        assert len(seen) == 1
    taken = whole({"accepted": 1, "rejected": []}, "202 Accepted")
    with breaking_off([None, taken]) as (base, seen), Client(base, retries=QUICK) as client:
        assert client.send_events([{}], resend=True).accepted == 1
        assert len(seen) == 2


def test_nobody_there_and_somebody_else_are_told_apart() -> None:
    """In one line with the address."""
    base = f"http://127.0.0.1:{free_port()}"
    with Client(base, retries=QUICK) as client:
        with pytest.raises(NoAnswerError, match="did not reach the server") as caught:
            client.send_events([EVENT])
        assert not caught.value.sent
        with pytest.raises(NoAnswerError):
            client.wait_until_ready(0.3)
    other = pytest.raises(UnreadableAnswerError, match=r"GET http://127.0.0.1:\d+/v1/status is no StatusAnswer")
    with breaking_off([whole("hello")]) as (base, _), Client(base) as client, other:
        client.status()


def test_a_server_that_says_nothing_is_given_up_on() -> None:
    """After the timeout, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(base, timeout_seconds=0.1, retries=Retries(most=0)) as client, pytest.raises(NoAnswerError):
            client.status()


def test_a_token_goes_to_the_server_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    """No log line, no error and no redirect carries it."""
    seen: list[str | None] = []

    async def handler(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return Response(status_code=307, headers={"location": f"{base}/elsewhere"})

    for name in ("", "httpcore", "httpcore.connection", "httpx"):  # other tests may have quietened them
        caplog.set_level(logging.DEBUG, logger=name)
    redirected = pytest.raises(UnreadableAnswerError, match="/elsewhere the address")
    with scripted(handler) as base, Client(base, token=TOKEN) as client, redirected as caught:
        client.status()
    assert seen == [f"Bearer {TOKEN}"]
    assert "connect_tcp" in caplog.text
    assert TOKEN not in caplog.text + str(caught.value)


def test_hundreds_of_coroutines_share_a_few_connections(tmp_path: Path) -> None:
    """Each gets the answer to its own question; no more connections are open than allowed."""
    settings = settings_in(tmp_path, max_connections=8)
    publish(settings)
    instances = ages(200)

    async def ask(base: str) -> tuple[list[Any], list[Any], list[FreshetHTTPError]]:
        async with AsyncClient(base, max_connections=4) as client:
            alone = await asyncio.gather(*(client.predict([instance]) for instance in instances))
            together = [found async for found in client.predict_many(instances, batch_size=150)]
            refused = await asyncio.gather(*(client.predict([{}]) for _ in range(20)), return_exceptions=True)
            return alone, together, refused

    with running(settings) as server:
        alone, together, refused = asyncio.run(ask(str(server.client.base_url)))
    assert all(isinstance(error, InvalidRequestError) for error in refused)
    for one, other in zip(alone, together, strict=True):
        assert one.predictions[0].scores == pytest.approx(other.prediction.scores, abs=1e-6)
        assert one.checkpoint == other.checkpoint


def test_no_more_requests_are_under_way_than_connections_allowed() -> None:
    """The others wait for their turn on this side."""
    under_way, most, many = 0, 0, asyncio.Event()

    async def handler(request: Request) -> Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 3:
            many.set()
        await request.body()
        await asyncio.wait_for(many.wait(), 30)  # the first ones, for so many as may come
        await asyncio.sleep(0.005)
        under_way -= 1
        return JSONResponse(GOOD)

    async def ask(base: str) -> None:
        async with AsyncClient(base, max_connections=3) as client:
            await asyncio.gather(*(client.predict([{}]) for _ in range(30)))

    with scripted(handler) as base:
        asyncio.run(ask(base))
    assert most == 3


def test_the_awaiting_client_has_every_call_and_the_same_patience(tmp_path: Path) -> None:
    """Its results are those of the one that blocks."""
    settings = settings_in(tmp_path)
    checkpoint_id = publish(settings)
    counted: Counter[str] = Counter()

    async def ask(base: str, busy: str) -> list[Any]:
        async with AsyncClient(base) as client, AsyncClient(busy, retries=QUICK) as patient:
            await client.wait_until_ready()
            return [
                await client.status(),
                await client.checkpoints(),
                await client.checkpoint(checkpoint_id),
                await client.ready(),
                await client.healthy(),
                await client.send_events([EVENT]),
                await client.send_many([EVENT, {}]),
                await patient.predict([{}]),
            ]

    with running(settings) as server, scripted(busy_at_first(2, counted)) as busy:
        base = str(server.client.base_url)
        found = asyncio.run(ask(base, busy))
        with Client(base) as client:
            expected = [client.status(), client.checkpoints(), client.checkpoint(checkpoint_id), client.ready()]
            assert found[:4] == expected
    assert found[4]
    assert (found[5].accepted, found[6].accepted, found[7].predictions[0].label) == (1, 2, "yes")
    assert counted["/v1/predict"] == 3


def test_a_closed_client_opens_no_connection(tmp_path: Path) -> None:
    """Neither kind: it says that it is closed; what was under way is answered, and leaves nothing open."""
    settings = settings_in(tmp_path)
    publish(settings)

    async def close_early(base: str) -> Any:
        client = AsyncClient(base)
        under_way = asyncio.create_task(client.predict([INSTANCE]))
        await asyncio.sleep(0)
        await client.aclose()
        answer = await under_way
        with pytest.raises(RuntimeError, match="closed"):
            await client.status()
        assert client._free == []
        return answer

    with running(settings) as server:
        base = str(server.client.base_url)
        assert len(asyncio.run(close_early(base))) == 1
        client = Client(base)
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.status()


def test_both_clients_have_the_same_methods() -> None:
    """What one learns the other gets."""

    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(AsyncClient) - {"aclose"} == public(Client) - {"close"}
