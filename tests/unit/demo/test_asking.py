"""The demo's questions: what a server is asked, and that one which is away is none of the stream's business."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from typing import Any

import pytest

from service.cli import main
from service.demo import asking
from service.demo.asking import Asker
from service.demo.loans import SCHEMA, loans

LOAN = next(islice(loans(1, 10), 1))["features"]
WAIT_SECONDS = 30.0


class Server(HTTPServer):
    """Answers every question with the status that it is told, and remembers them."""

    status = 200

    def __init__(self) -> None:
        self.questions: list[tuple[str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """Keeps a question for the server that it came to."""

    server: Server

    def do_POST(self) -> None:
        """Take a question and answer it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.questions.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a running server."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def asked(server: Server, questions: int) -> None:
    """Return once the server has been asked so often."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(server.questions) < questions:
        assert time.monotonic() < deadline, "it was not asked"
        time.sleep(0.01)


def test_a_server_is_asked_about_the_newest_loan(server: Server) -> None:
    """By its features alone, as an application would that does not know the label yet."""
    asker = Asker(f"http://127.0.0.1:{server.server_port}/")
    asker.see(LOAN)
    asked(server, 2)
    asker.close()
    assert server.questions[0] == ("/v1/predict", {"instances": [LOAN]})
    assert set(LOAN) == set(SCHEMA.names)
    assert asker.answers >= 1


def test_a_server_that_is_away_or_has_no_model_is_asked_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ends the asking."""
    monkeypatch.setattr(asking, "AWAY_SECONDS", 0.01)
    server.status = 503
    asker = Asker(f"http://127.0.0.1:{server.server_port}")
    asker.see(LOAN)
    asked(server, 2)
    assert asker.answers == 0
    server.status = 200
    asked(server, len(server.questions) + 2)
    asker.close()
    assert asker.answers >= 1


def test_no_server_at_all_is_no_failure() -> None:
    """Nobody listens there: the stream goes on, and the asker ends when it is told to."""
    asker = Asker("http://127.0.0.1:1")
    asker.see(LOAN)
    time.sleep(2 * asking.ASK_SECONDS)
    asker.close()
    assert asker.answers == 0


@pytest.mark.parametrize(
    "arguments",
    [["--ask", "http://127.0.0.1:8000"], ["--drift-every", "5"], ["--send-only", "--ask", "127.0.0.1:8000"]],
)
def test_wrong_use_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Options that go with --send-only alone, and an address that is none."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert ended.value.code == 2
    assert "--ask" in capsys.readouterr().err
