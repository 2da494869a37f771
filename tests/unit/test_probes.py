"""Metrics and health over real HTTP."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from service.errors import ConfigurationError
from service.probes import LIMITS, ProbeServer, listen


class Process:
    """What the checks say."""

    def __init__(self) -> None:
        self.unready: str | None = "the broker does not answer"
        self.dead: str | None = None
        self.registry = CollectorRegistry()
        self.work = Counter("work", "Work done.", registry=self.registry)


@pytest.fixture
def process() -> Process:
    """Return a process that is not ready."""
    return Process()


@pytest.fixture
def client(process: Process) -> Iterator[httpx.Client]:
    """Return a client of the process's probes."""
    server = ProbeServer("127.0.0.1", 0, process.registry, lambda: process.unready, alive=lambda: process.dead)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as found:
        yield found
    server.stop()


def test_readiness_says_why_not(client: httpx.Client, process: Process) -> None:
    """503 with the reason as problem details while not ready, 200 as soon as it is, and back."""
    response = client.get("/readyz")
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    assert response.json()["detail"] == "the broker does not answer"
    process.unready = None
    assert client.get("/readyz").status_code == 200
    process.unready = "another reason"
    assert client.get("/readyz").json()["detail"] == "another reason"


def test_health_is_not_readiness(client: httpx.Client, process: Process) -> None:
    """A process without its broker lives; one whose main thread has died does not."""
    assert client.get("/healthz").status_code == 200
    process.dead = "the loop has ended"
    assert client.get("/healthz").status_code == 503


def test_metrics_are_current(client: httpx.Client, process: Process) -> None:
    """Each scrape collects anew, in the text format unless OpenMetrics is asked for."""
    for count in (1.0, 2.0):
        process.work.inc()
        response = client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain")
        assert f"work_total {count}" in response.text
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}
    response = client.get("/metrics", headers=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_the_probes_answer_heads_and_nothing_else(client: httpx.Client) -> None:
    """HEAD like GET without a body; other paths 404, other methods 405, as problem details with the request's id."""
    for path, status in (("/metrics", 200), ("/healthz", 200), ("/readyz", 503)):
        head = client.head(path)
        assert (head.status_code, head.content) == (status, b"")
    for method, path, status in (("GET", "/nope", 404), ("GET", "/docs", 404), ("POST", "/readyz", 405)):
        response = client.request(method, path, headers={"x-request-id": "mine"})
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        assert response.json()["request_id"] == response.headers["x-request-id"] == "mine"
        assert "/metrics" in response.json()["detail"]
    assert client.get("/metrics", headers={"x": "x" * 10_000}).status_code == 431


def test_a_failing_probe_tells_no_secrets(process: Process) -> None:
    """Whatever breaks inside, the answer is a 500 without a trace, and the server goes on."""

    def broken() -> str | None:
        raise RuntimeError("the secret of the store")

    server = ProbeServer("127.0.0.1", 0, process.registry, broken)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        response = client.get("/readyz")
        assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
        assert "secret" not in response.text
        assert client.get("/healthz").status_code == 200
    server.stop()


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text;version=x;q=y", "application/openmetrics-text;version=", ";;,=", "\xff", "*"],
)
def test_no_accept_header_is_our_fault(client: httpx.Client, accept: str) -> None:
    """Whatever a scraper says that it takes, it gets metrics."""
    assert client.get("/metrics", headers={"accept": accept.encode("latin-1")}).status_code == 200


def test_slow_clients_and_crowds_are_bounded(process: Process) -> None:
    """Who asks nothing is hung up on, and does not keep others out."""
    limits = replace(LIMITS, connections=3, head_seconds=0.5)
    server = ProbeServer("127.0.0.1", 0, process.registry, lambda: None, limits=limits)
    server.start()
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        silent = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(20)]
        assert httpx.get(f"http://127.0.0.1:{server.port}/readyz").status_code == 200
        assert [sock.recv(100) for sock in silent] == [b""] * 20
    server.stop()


def test_a_client_that_hangs_on_does_not_hold_up_a_stop(process: Process) -> None:
    """Neither one in the middle of a head, nor one in the middle of a body."""
    server = ProbeServer("127.0.0.1", 0, process.registry, lambda: None)
    server.start()
    with ExitStack() as stack:
        for begun in (b"GET /readyz HTTP/1.1\r\n", b"POST /readyz HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            sock.sendall(begun)
        server.stop()


def test_answers_are_not_held_back() -> None:
    """Nagle's algorithm is off; with it every answer would wait 40 ms for the client's acknowledgement."""
    with listen("127.0.0.1", 0, "serve.port") as listener:
        assert listener.proto == socket.IPPROTO_TCP  # the condition on which asyncio sets TCP_NODELAY


def test_a_taken_port_names_its_setting(process: Process) -> None:
    """The message says which address, why, and which key to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"trainer\.port: cannot listen on 127\.0\.0\.1:{port}: .*in use"):
            ProbeServer("127.0.0.1", port, process.registry, lambda: None)


def test_two_listeners_never_share_a_port() -> None:
    """The second one fails at once, though neither has accepted anything yet."""
    with listen("127.0.0.1", 0, "serve.port") as first, pytest.raises(ConfigurationError, match=r"^serve\.port"):
        listen("127.0.0.1", first.getsockname()[1], "serve.port")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_that_is_not_ours_names_its_setting(host: str) -> None:
    """A host that cannot be resolved, or belongs to another machine, is a matter of configuration."""
    with pytest.raises(ConfigurationError, match=r"serve\.port or serve\.host"):
        listen(host, 65_000, "serve.port")


def test_a_stop_frees_the_port(process: Process) -> None:
    """It can be listened on again at once, also if it was never started; stopping twice is fine."""
    server = ProbeServer("127.0.0.1", 0, process.registry, lambda: None)
    server.start()
    server.stop()
    server.stop()
    again = ProbeServer("127.0.0.1", server.port, process.registry, lambda: None)
    again.stop()
