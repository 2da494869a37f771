"""The demo's questions: what a server is asked, and that one which is away is none of the stream's business."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from service.cli import main
from service.demo import asking
from service.demo.asking import Asker, place_of
from service.demo.loans import SCHEMA, loans
from service.errors import UsageError

LOAN = next(islice(loans(1, 10), 1))["features"]
WAIT_SECONDS = 30.0


class Server(HTTPServer):
    """Answers every question with the status that it is told, and remembers them."""

    status = 200

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.questions: list[tuple[str, dict[str, Any]]] = []
        self.names: set[str | None] = set()
        super().__init__((host, port), Handler)


class Handler(BaseHTTPRequestHandler):
    """Keeps a question for the server that it came to."""

    server: Server

    def do_POST(self) -> None:
        """Take a question and answer it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.questions.append((self.path, json.loads(body)))
        self.server.names.add(self.headers["Host"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Let a server answer for a while."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Yield a running server."""
    with running(Server()) as one:
        yield one


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


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let the name `server` have these addresses, always in this order, as a resolver that sorts them does."""
    original = socket.getaddrinfo

    def resolve(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        hosts = addresses if host == "server" else (host,)
        return [one for host in hosts for one in original(host, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_all_servers_behind_a_name_are_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order the resolver names them, each is asked, under the name; one that is away costs no question."""
    resolves_to(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    with running(Server("127.0.0.2", server.server_port)) as other:
        asker = Asker(f"http://server:{server.server_port}")
        asker.see(LOAN)
        asked(server, 2)
        asked(other, 2)
        asker.close()
    assert server.names == other.names == {f"server:{server.server_port}"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_behind_tls_is_asked_by_its_name(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The certificate is that of the name in the address, whichever of its addresses was taken."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {certificate}"
    name = ["-subj", "/CN=server", "-addext", "subjectAltName=DNS:server"]
    subprocess.run([*command.split(), *name], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    resolves_to(monkeypatch, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asker = Asker(f"https://server:{server.server_port}")
    asker.see(LOAN)
    asked(server, 1)
    asker.close()


def test_a_name_that_cannot_be_looked_up_does_not_end_the_asking(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a resolver makes of a name, an answer later on is a prediction like any other."""
    monkeypatch.setattr(asking, "AWAY_SECONDS", 0.01)
    original, failures = socket.getaddrinfo, iter([UnicodeError("label empty or too long"), socket.gaierror("unknown")])

    def resolve(*arguments: Any, **options: Any) -> list[Any]:
        if failure := next(failures, None):
            raise failure
        return list(original(*arguments, **options))

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    asker = Asker(f"http://127.0.0.1:{server.server_port}")
    asker.see(LOAN)
    asked(server, 1)
    asker.close()
    assert next(failures, None) is None


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://server:21",
        "http://",
        "http://server..example:8000",
        f"http://{'a' * 64}:8000",
        "http://server:80000",
        "http://server:8000/a b",
        "http://name@server:8000",
        "http://[::1:8000",
    ],
)
def test_what_is_no_address_of_a_server_is_refused_at_once(url: str) -> None:
    """Before a thread starts that nothing could ever answer, in one line."""
    with pytest.raises(UsageError, match=f"^--ask {re.escape(url)}: the address of a server is needed"):
        Asker(url)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://server", ("http", "server", 80, "/v1/predict")),
        ("https://server/models/", ("https", "server", 443, "/models/v1/predict")),
        ("http://[::1]:8000", ("http", "::1", 8000, "/v1/predict")),
    ],
)
def test_an_address_is_read_as_browsers_read_it(url: str, place: tuple[str, str, int, str]) -> None:
    """The usual port of each scheme, a path before that of predictions, IPv6 in brackets."""
    assert place_of(url) == place


@pytest.mark.parametrize(
    "arguments",
    [["--ask", "http://127.0.0.1:8000"], ["--drift-every", "5"], ["--send-only", "--ask", "http://a..b"]],
)
def test_wrong_use_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Options that go with --send-only alone, and an address that is none."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert ended.value.code == 2
    assert "--ask" in capsys.readouterr().err
