"""The server as a process of its own: what signals do to it, and to the requests that are under way."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.settings import Settings
from tests.unit.serve.builders import INSTANCE, accepts, publish, settings_in

PROGRAM = """
import sys
from service.server import serve
from service.settings import Settings
serve(Settings.model_validate_json(sys.argv[1]))
"""


@contextmanager
def program(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` as a process of its own; yield it once it listens, and kill it if a test leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, settings.model_dump_json(by_alias=True)],
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
