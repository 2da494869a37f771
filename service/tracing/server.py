"""The parts of a server that tracing replaces."""

from collections.abc import Callable
from typing import NamedTuple

from starlette.types import ASGIApp

from service.observer import Observer
from service.serve.batching import Batcher
from service.settings import Settings
from service.tracing.needs import require_tracing


class ServerParts(NamedTuple):
    """What a server is joined from, traced or not; ``close`` sends what is left, in bounded time."""

    observer: Observer
    batcher: Batcher
    around: Callable[[ASGIApp], ASGIApp]
    close: Callable[[], None]


def server_parts(settings: Settings, observer: Observer) -> ServerParts:
    """Return the parts of a server whose events of note go to ``observer``; raises as ``require_tracing`` does."""
    require_tracing(settings)
    if not settings.telemetry.traces:
        return ServerParts(observer, Batcher(settings.serve, observer), lambda app: app, lambda: None)
    from service.tracing.requests import traced_server  # noqa: PLC0415 - needs the extra

    return ServerParts(*traced_server(settings, observer))
