"""Metrics and health over real HTTP."""

import socket
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from service.errors import ConfigurationError
from service.probes import ProbeServer, listen


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
