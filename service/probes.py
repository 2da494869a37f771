"""What operators ask a process: its metrics, whether it lives, and whether it is ready."""

import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import ConfigurationError, FreshetError
from service.observer import Observer
from service.serve.bounds import MAX_TARGET_BYTES, BoundedHead
from service.serve.connection import Limits
from service.serve.http import HttpServer
from service.serve.middleware import Watched
from service.serve.problems import install_problems, problem

Check = Callable[[], str | None]
"""Returns None if all is well, else one line that says what is not. Called on the event loop: it must not block."""

RETRY_AFTER_SECONDS = 1
GRACE_SECONDS = 1.0
BACKLOG = 2_048

MAX_HEADER_BYTES = 8 * 2**10
LIMITS = Limits(
    connections=64,
    head_bytes=MAX_HEADER_BYTES + MAX_TARGET_BYTES,
    head_seconds=5.0,
    body_seconds=5.0,
    keep_alive_seconds=75.0,
)
"""Of the probes' own server: a few scrapers and orchestrators, none of which sends a body."""


def always() -> str | None:
    """Answer that all is well: a process that can say so lives."""
    return None


def probe_routes(registry: CollectorRegistry, *, ready: Check, alive: Check = always) -> list[Route]:
    """Return the routes /metrics, /healthz and /readyz."""

    async def metrics(request: Request) -> Response:
        try:
            encode, media_type = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # it believes any version that it is told
            encode, media_type = choose_encoder("")
        text = await run_in_threadpool(encode, registry)  # thousands of lines: the event loop is not to wait for them
        return Response(text, headers={"Content-Type": media_type})

    async def healthz(_: Request) -> Response:
        return _answer(alive(), "alive")

    async def readyz(_: Request) -> Response:
        return _answer(ready(), "ready")

    return [Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]


def listen(host: str, port: int, key: str) -> socket.socket:
    """Return a listening socket; raises ConfigurationError, naming the setting ``key``, if there is none to be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        family, kind, protocol, _, address = found
        # Only where the protocol is named does asyncio switch Nagle's delay off, which costs each answer 40 ms.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(_refused(host, port, key, error)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once, since two sockets may be bound to one port as long as neither listens.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_refused(host, port, key, error)) from None
    return listener


class ProbeServer:
    """Answers /metrics, /healthz and /readyz in a daemon thread, beside whatever the process does.

    ``port`` 0 picks a free one; the attribute ``port`` then tells which. Raises ConfigurationError if the address
    cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        ready: Check,
        *,
        alive: Check = always,
        limits: Limits = LIMITS,
    ) -> None:
        self._listener = listen(host, port, "trainer.port")
        self.port: int = self._listener.getsockname()[1]
        app = Starlette(routes=probe_routes(registry, ready=ready, alive=alive))
        install_problems(app)
        app.add_middleware(BoundedHead, max_header_bytes=MAX_HEADER_BYTES)
        app.add_middleware(Watched, observer=Observer())
        self._server = HttpServer(app, limits, grace_seconds=GRACE_SECONDS)
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        """Begin to answer, and return once it does."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                message = "the metrics and health server did not start; the log above says why"
                raise FreshetError(message)
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop answering. Can be called twice, or without a start."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


def _answer(trouble: str | None, well: str) -> Response:
    if trouble is None:
        return JSONResponse({"status": well})
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, trouble, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _refused(host: str, port: int, key: str, error: OSError) -> str:
    reason = error.strerror or str(error)
    host_key = f"{key.rpartition('.')[0]}.host"
    return f"{key}: cannot listen on {host}:{port}: {reason}; choose another with {key} or {host_key}"
