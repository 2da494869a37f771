"""What the demo's stream is for: somebody who asks what becomes of a loan, before its label is known."""

import http.client
import json
import random
import socket
import ssl
import threading
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from service.errors import UsageError

ASK_SECONDS = 0.05
AWAY_SECONDS = 1.0
PATIENCE_SECONDS = 2.0

PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where predictions are asked for."""

    scheme: str
    host: str
    port: int
    path: str


def place_of(url: str) -> Place:
    """Return where a server at ``url`` is asked; raises UsageError if that is no address of a server."""
    try:
        parts = urlsplit(url)
        usual, host = PORTS[parts.scheme], parts.hostname or ""
        host.encode("idna")
        place = Place(parts.scheme, host, parts.port or usual, f"{parts.path.rstrip('/')}/v1/predict")
    except (KeyError, ValueError):
        place = None
    if place is None or not place.host or not place.path.isascii() or set(url) & set(" \t\r\n?#@"):
        raise UsageError(f"--ask {url}: the address of a server is needed, such as --ask http://127.0.0.1:8000")
    return place


class Asker:
    """Asks a server about the newest loan, twenty times a second, in a thread of its own, until it is closed.

    Every question is a connection of its own, to any of the addresses behind the server's name, so that several
    servers are all asked. One that is away, or has no model yet, is asked again a second later.
    Raises UsageError unless ``url`` is the address of a server.
    """

    def __init__(self, url: str) -> None:
        self.answers = 0
        self._place = place_of(url)
        self._tls = ssl.create_default_context()
        self._features: dict[str, Any] | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()

    def see(self, features: dict[str, Any]) -> None:
        """Take note of a loan that is about to be sent."""
        self._features = features

    def close(self) -> None:
        """Ask no more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(ASK_SECONDS):
            if self._features is None:
                continue
            try:
                answered = self._ask(json.dumps({"instances": [self._features]}).encode())
            except (OSError, ValueError, http.client.HTTPException):
                answered = False
            if answered:
                self.answers += 1
            else:
                self._end.wait(AWAY_SECONDS)

    def _ask(self, body: bytes) -> bool:
        """Return whether the server answered a question with a prediction."""
        place = self._place
        connection = http.client.HTTPConnection(place.host, place.port, timeout=PATIENCE_SECONDS)
        try:
            connection.sock = self._connect()  # the name stays in the request, for proxies that tell servers by it
            connection.request("POST", place.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status == http.client.OK
        finally:
            connection.close()

    def _connect(self) -> socket.socket:
        # In no fixed order: the resolver sorts them, and whoever takes the first asks one server alone.
        scheme, host, port, _ = self._place
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError | None = None
        for *_, address in random.sample(found, len(found)):
            try:
                plain = socket.create_connection((str(address[0]), port), PATIENCE_SECONDS)
                return self._tls.wrap_socket(plain, server_hostname=host) if scheme == "https" else plain
            except OSError as error:
                failure = error
        raise failure or OSError(f"{host} has no address")
