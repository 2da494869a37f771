"""The server as a process of its own: what signals do to it, and to the requests that are under way."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.unit.serve.builders import INSTANCE, accepts, publish, settings_in

PROGRAM = """
import sys
from service.server import serve
from service.settings import Settings
serve(Settings.model_validate_json(sys.argv[1]))
"""

SLOW_TO_LOAD = (
    """
import time
from service.serve import watcher
def slow(model):
    print("loading", flush=True)
    time.sleep(0.5)
watcher.warm_up = slow
"""
    + PROGRAM
)


@contextmanager
def program(settings: Settings, text: str = PROGRAM) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` as a process of its own; yield it once it listens, and kill it if a test leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-c", text, settings.model_dump_json(by_alias=True)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while process.poll() is None and not accepts(settings.serve.port):
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@contextmanager
def begun_request(settings: Settings, body_bytes: int) -> Iterator[socket.socket]:
    """Yield a connection on which a prediction has begun: the route waits for its body."""
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {body_bytes}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", settings.serve.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        yield connection


def test_a_signal_drains_and_ends_it_with_success(tmp_path: Path) -> None:
    """A request that is under way when the signal comes gets its answer; then the process exits 0, with clear logs."""
    settings = settings_in(tmp_path)
    publish(settings)
    body = json.dumps({"instances": [INSTANCE]}).encode()
    with program(settings) as process, begun_request(settings, len(body)) as slow:
        process.send_signal(signal.SIGTERM)
        while accepts(settings.serve.port):
            time.sleep(0.02)
        slow.sendall(body)
        answer = b""
        while part := slow.recv(65_536):
            answer += part
        output, errors = process.communicate()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"scores"' in answer
    assert (process.returncode, output) == (0, ""), errors
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert events == ["checkpoint serves", "server answers", "server stopped"]


def test_a_request_that_never_ends_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """After the grace time it is cut off with a 503, and the process still exits 0."""
    settings = settings_in(tmp_path, grace_seconds=1)
    publish(settings)
    with program(settings) as process, begun_request(settings, 9) as stuck:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
        assert stuck.recv(100).startswith(b"HTTP/1.1 503")
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    """From the moment that it listens a signal is a clean stop."""
    settings = settings_in(tmp_path)
    with program(settings) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_a_signal_while_the_model_is_loaded_ends_it_too(tmp_path: Path) -> None:
    """It has not answered anything yet, and ends with success."""
    settings = settings_in(tmp_path)
    publish(settings)
    with program(settings, SLOW_TO_LOAD) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_it_is_unready_before_it_stops_to_listen(tmp_path: Path) -> None:
    """Load balancers see readiness go first; predictions go on meanwhile, on connections that end with them."""
    settings = settings_in(tmp_path, announce_seconds=8, grace_seconds=9)
    publish(settings)
    url = f"http://127.0.0.1:{settings.serve.port}"
    with program(settings) as process, httpx.Client(base_url=url, timeout=30) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        while (ready := client.get("/readyz")).status_code == 200:
            time.sleep(0.02)
        answers = []
        for _ in range(20):  # for longer than uvicorn takes to notice a signal
            answers.append(client.post("/v1/predict", json={"instances": [INSTANCE]}))
            time.sleep(0.03)
        _, errors = process.communicate()
    assert ready.json()["detail"] == "the server stops"
    assert {(answer.status_code, answer.headers["connection"]) for answer in answers} == {(200, "close")}
    assert process.returncode == 0, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_further_signals_are_harmless(tmp_path: Path, number: signal.Signals) -> None:
    """However many come, and up to its last moment, it ends with success and without a trace."""
    settings = settings_in(tmp_path, grace_seconds=1)
    publish(settings)
    with program(settings) as process, begun_request(settings, 9):
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.001)
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_clients_in_every_state_are_let_go(tmp_path: Path) -> None:
    """One that is silent, one in a head, one in a body, one that is idle: none outlasts the grace time."""
    settings = settings_in(tmp_path, grace_seconds=1)
    publish(settings)
    with program(settings) as process, begun_request(settings, 9) as in_body, ExitStack() as stack:
        address = "127.0.0.1", settings.serve.port
        silent, in_head, idle = (stack.enter_context(socket.create_connection(address)) for _ in range(3))
        in_head.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not idle.recv(65_536).endswith(b"}"):
            pass
        process.send_signal(signal.SIGTERM)
        in_body.sendall(b"{")
        _, errors = process.communicate()
        assert in_body.recv(100).startswith(b"HTTP/1.1 503")
        assert [sock.recv(100) for sock in (silent, in_head, idle)] == [b"", b"", b""]
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_tokens_are_written_nowhere(tmp_path: Path) -> None:
    """Not in logs at the finest level, in no answer, no metric and no description, whether they are right or wrong."""
    token, former, wrong = "right-secret-0123456789", "former-secret-0123456789", "wrong-secret-0123456789"
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text(f"feeder:events:{former}\n")
    values = settings_in(tmp_path, tokens_file=str(file)).model_dump(mode="json", by_alias=True)
    settings = Settings.model_validate({**values, "log": {"level": "debug", "format": "json"}})
    publish(settings)
    answers: list[str] = []
    with (
        program(settings) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{settings.serve.port}", timeout=30) as client,
    ):

        def send(sent: str) -> int:
            headers = {"authorization": f"Bearer {sent}", "host": "freshet.example"}
            response = client.post("/v1/events", json={"events": [{}]}, headers=headers)
            answers.append(f"{response.headers}{response.text}")
            return response.status_code

        assert [send(former), send(wrong)] == [202, 401]
        file.write_text(f"feeder:events:{token}\n")
        assert [send(token), send(former)] == [202, 401]
        file.write_text(f"feeder:nobody:{token}\n")
        assert send(token) == 202
        with socket.create_connection(("127.0.0.1", settings.serve.port)) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {token}\r\n\r\n".encode())
            answers.append(raw.recv(65_536).decode())
        answers += [client.get(path).text for path in ("/metrics", "/v1/status", "/openapi.json", "/nope", "/docs")]
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
    assert "tokens reread" in errors
    assert '"/v1/events"' in errors
    for secret in (token, former, wrong):
        assert secret not in output + errors + "".join(answers)
