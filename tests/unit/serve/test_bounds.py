"""What a request may be at most, and how many there may be."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.serve.bounds import MAX_HEADERS, MAX_TARGET_BYTES, Places
from service.serve.problems import ProblemError
from tests.unit.serve.builders import INSTANCE, problem_of, publish, settings_in
from tests.unit.serve.running import Service


def test_places_are_given_back_whatever_happens() -> None:
    """Taken by those within, free again after them, also when they fail."""
    places = Places(2, "serve.max_in_flight", retry_after_seconds=3)
    with places, places, pytest.raises(ProblemError, match=r"serve\.max_in_flight") as caught, places:
        pass
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "3"})
    for _ in range(5):
        with pytest.raises(RuntimeError, match="within"), places:
            raise RuntimeError("within")
    with places, places:
        pass


@contextmanager
def begun(service: Service, path: str) -> Iterator[socket.socket]:
    """Yield a connection on which a request has begun: its route waits for the body."""
    address = service.client.base_url.host, service.client.base_url.port
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(address, timeout=30) as sock:
        sock.sendall(head.encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        yield sock


def test_more_predictions_than_there_are_places_are_told_to_come_back(
    serving: Callable[..., Service], tmp_path: Path
) -> None:
    """503 with Retry-After at once; probes and events go on; a place that is free again is taken."""
    settings = settings_in(tmp_path, max_in_flight=2)
    publish(settings)
    service = serving(settings)
    with begun(service, "/v1/predict"):
        with begun(service, "/v1/predict"):
            response = service.client.post("/v1/predict", content=b"x" * 1_000_000, headers={"expect": "100-continue"})
            assert "serve.max_in_flight" in problem_of(response, 503)["detail"]
            assert int(response.headers["retry-after"]) > 0
            for path in ("/healthz", "/readyz", "/metrics", "/v1/status"):
                assert service.client.get(path).status_code == 200
            assert service.client.post("/v1/events", json={"events": [{}]}).status_code == 202
        while (response := service.predict(INSTANCE)).status_code == 503:  # until it is seen that one has hung up
            pass
        assert response.status_code == 200


def test_the_refused_are_not_asked_for_their_body(serving: Callable[..., Service]) -> None:
    """A client that waits for a word before it sends gets the 503 instead of it."""
    service = serving(max_in_flight=1)
    with begun(service, "/v1/predict"), pytest.raises(AssertionError), begun(service, "/v1/predict"):
        pass


def test_more_events_than_there_are_places_are_told_to_come_back(serving: Callable[..., Service]) -> None:
    """While the source is slow the others hear it at once, and predictions do not notice."""
    service = serving(max_events_in_flight=2)
    keep, go_on = service.desk.submit, threading.Event()

    def slowly(events: Sequence[Any]) -> list[str | None]:
        go_on.wait()
        return keep(events)

    service.desk.submit = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool, ExitStack() as stack:
        stack.callback(go_on.set)
        waiting = [pool.submit(service.client.post, "/v1/events", json={"events": [{}]}) for _ in range(2)]
        while "freshet_requests_in_flight 3.0" not in service.client.get("/metrics").text:
            pass
        response = service.client.post("/v1/events", json={"events": [{}]})
        assert "serve.max_events_in_flight" in problem_of(response, 503)["detail"]
        go_on.set()
        assert [future.result().status_code for future in waiting] == [202, 202]


def test_a_target_that_is_too_long_is_a_414(ready: Service) -> None:
    """Path and query together; one that just fits is looked up."""
    for target in ("/" + "x" * MAX_TARGET_BYTES, "/v1/status?" + "x" * MAX_TARGET_BYTES):
        problem_of(ready.client.get(target), 414)
    assert ready.client.get("/v1/status?" + "x" * (MAX_TARGET_BYTES - 20)).status_code == 200


def test_too_many_or_too_large_headers_are_a_431(ready: Service) -> None:
    """However they add up."""
    problem_of(ready.client.get("/v1/status", headers=[(f"x-{n}", "") for n in range(MAX_HEADERS)]), 431)
    limit = ready.settings.serve.max_header_bytes
    problem_of(ready.client.get("/v1/status", headers={"x": "x" * limit}), 431)
    problem_of(ready.client.get("/v1/status", headers=[("x", "x" * (limit // 20))] * 20), 431)
    assert ready.client.get("/v1/status", headers={"x": "x" * (limit // 2)}).status_code == 200


def test_a_body_that_trickles_in_is_a_408(serving: Callable[..., Service]) -> None:
    """With the reason, and the connection is closed; its place is free again."""
    service = serving(body_seconds=0.3, max_in_flight=1)
    with begun(service, "/v1/predict") as sock:
        sock.sendall(b"{")
        found = b""
        while part := sock.recv(65_536):
            found += part
    assert found.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in found.lower()
    assert b"within 0.3 s" in found
    problem_of(service.post(b"{}"), 503)  # there is no model


@pytest.mark.parametrize("declared", [10, 1_000_000])
def test_a_length_that_lies_breaks_nothing(ready: Service, declared: int) -> None:
    """A body shorter than declared ends with its sender; what is longer counts as the next request."""
    address = ready.client.base_url.host, ready.client.base_url.port
    with socket.create_connection(address, timeout=30) as sock:
        head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        sock.sendall(f"{head}{declared}\r\n\r\n".encode() + b'{"instances": [{"age": 1, "owner": true}]}')
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while part := sock.recv(65_536):
            found += part
    assert b"HTTP/1.1 5" not in found
    assert ready.predict(INSTANCE).status_code == 200
