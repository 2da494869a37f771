"""uvicorn as both roles run it: bounded connections, and a stop that lets go of clients in order."""

import asyncio
import socket
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from service.serve.connection import Connection, Limits


class HttpServer(uvicorn.Server):
    """An HTTP server of one application.

    A stop (``should_exit``, or a signal) goes in this order: it goes on answering for ``announce_seconds``, so that
    those who watch its readiness can turn away; it stops listening and closes idle connections; open requests have the
    rest of ``grace_seconds`` to finish; then they are cut off.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, *, grace_seconds: float | None = None, announce_seconds: float = 0.0
    ) -> None:
        connection: type[asyncio.Protocol] = type("LimitedConnection", (Connection,), {"limits": limits})
        super().__init__(
            uvicorn.Config(
                app,
                http=connection,
                loop="auto",  # uvloop, but on Windows
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # who is let in is for serve.access to say
                # uvicorn wants whole seconds, and hands them to asyncio, which does not.
                timeout_graceful_shutdown=cast(
                    "int | None", None if grace_seconds is None else max(0.0, grace_seconds - announce_seconds)
                ),
            )
        )
        self._announce_seconds = 0.0 if grace_seconds is None else min(announce_seconds, grace_seconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of clients; see the class."""
        await asyncio.sleep(self._announce_seconds)
        await super().shutdown(sockets)
