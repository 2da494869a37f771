"""Raw sockets to a server with a few routes, for what no HTTP client would send."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.observer import Observer
from service.serve.connection import Limits
from service.serve.middleware import Watched
from tests.unit.serve.builders import LIMITS, answering

GET = b"GET /quick HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /whole HTTP/1.1\r\nHost: localhost\r\n"
LARGE_BYTES = 32 * 2**20


async def quick(_: Request) -> Response:
    """Answer without looking at the body."""
    return PlainTextResponse("quick")


async def whole(request: Request) -> Response:
    """Answer with the size of the body, once it is there."""
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def large(_: Request) -> Response:
    """Answer with more than any buffer between us and the client holds."""
    return PlainTextResponse(b"x" * LARGE_BYTES)


Dial = Callable[[], socket.socket]


@contextmanager
def listening(limits: Limits = LIMITS, app: Starlette | None = None) -> Iterator[Dial]:
    """Run the routes above, or another application; yield what opens a connection to it."""
    opened: list[socket.socket] = []
    routes = [Route("/quick", quick, methods=["GET", "POST"]), Route("/whole", whole, methods=["POST"])]
    app = app or Starlette(routes=[*routes, Route("/large", large)])
    with answering(Watched(app, Observer()), limits) as client:
        address = client.base_url.host, client.base_url.port

        def dial() -> socket.socket:
            opened.append(socket.create_connection(address, timeout=30))
            return opened[-1]

        try:
            yield dial
        finally:
            for one in opened:
                one.close()


def trickle(sock: socket.socket, what: bytes = b" ") -> None:
    """Send the same now and then; raises ConnectionError once the server has closed."""
    for _ in range(10_000):
        sock.sendall(what)
        time.sleep(0.005)


def until_closed(sock: socket.socket) -> bytes:
    """Return what comes until the server closes; a reset, for data it never read, is a close too."""
    found = b""
    try:
        while part := sock.recv(65_536):
            found += part
    except ConnectionError:
        pass
    return found


def answer(sock: socket.socket) -> bytes:
    """Return one answer's head and what came with it, on a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found or not found.endswith((b"quick", b"bytes", b"}")):
        part = sock.recv(65_536)
        assert part, found
        found += part
    return found


def problem_in(raw: bytes, status: int) -> dict[str, Any]:
    """Return the problem details of a raw answer, having checked that it closes and has an id."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), raw
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert lines[b"content-type"] == b"application/problem+json"
    assert lines[b"connection"] == b"close"
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == status
    assert problem["request_id"].encode() == lines[b"x-request-id"]
    return problem
