"""The image's health check: which roles it asks, and what it makes of their answers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service import health
from tests.ports import free_port

Role = Callable[[str, int], None]
PORTS = {name: variable for name, (variable, _) in health.PORTS.items()}


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    """Return a function that starts what answers /healthz with a status, as the role of that name."""
    for variable, _ in health.PORTS.values():
        monkeypatch.setenv(variable, str(free_port()))
    servers: list[HTTPServer] = []

    def start(name: str, status: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,)).start()
        monkeypatch.setenv(PORTS[name], str(servers[-1].server_port))

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", sorted(PORTS))
def test_either_role_alone_is_well(role: Role, name: str) -> None:
    """An image is not told its role: the port that listens tells, and the other one need not."""
    role(name, 200)
    assert health.trouble() is None


@pytest.mark.parametrize(("name", "other"), [("trainer", "server"), ("server", "trainer")])
def test_a_role_that_is_named_is_not_well_by_the_other_s_answer(role: Role, name: str, other: str) -> None:
    """On the host's network, or in one pod, the other role's port is within reach."""
    role(other, 200)
    assert health.trouble(other) is None
    assert health.trouble(name) == f"nothing listens on {os.environ[PORTS[name]]}"
    role(name, 503)
    assert health.trouble(other) is None
    assert health.trouble(name) == f"{os.environ[PORTS[name]]}: 503"


def test_a_role_that_is_not_alive_is_named_by_its_port(role: Role) -> None:
    """With both roles in a container, one that is well does not hide the other."""
    role("server", 200)
    role("trainer", 503)
    assert health.trouble() == f"{os.environ[PORTS['trainer']]}: 503"


def test_nothing_that_listens_is_trouble(role: Role) -> None:  # noqa: ARG001 - it sets ports that are closed
    """A role that has not started, or whose port has gone, is not alive."""
    assert (health.trouble() or "").startswith("nothing listens on ")


def test_a_role_that_hangs_is_trouble(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    """One that takes connections and answers none is not taken for well, and is not waited for without end."""
    role("server", 200)
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 1.0)  # which the other role needs for its answer, too
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        monkeypatch.setenv(PORTS["trainer"], str(port))
        assert health.trouble() == f"{port}: no answer (timed out)"


def test_the_command_says_it_by_its_exit_code(role: Role) -> None:
    """`python -m service.health` ends with 0 or 1 and one line, and imports nothing that is slow."""
    run = [sys.executable, "-X", "importtime", "-m", "service.health"]
    role("server", 200)
    well = subprocess.run(run, capture_output=True, text=True, check=False)
    other = subprocess.run([*run, "trainer"], capture_output=True, text=True, check=False)
    unknown = subprocess.run([*run, "serve"], capture_output=True, text=True, check=False)
    role("server", 503)
    ill = subprocess.run([*run, "server"], capture_output=True, text=True, check=False)
    assert (well.returncode, well.stdout) == (0, "alive\n")
    assert (other.returncode, other.stdout) == (1, f"nothing listens on {os.environ[PORTS['trainer']]}\n")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.endswith("usage: python -m service.health [server|trainer]\n")
    assert (ill.returncode, ill.stdout) == (1, f"{os.environ[PORTS['server']]}: 503\n")
    slow = {"pydantic", "yaml", "torch", "numpy"}
    assert not {name for name in slow if f" {name}\n" in well.stderr}
