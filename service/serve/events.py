"""POST /v1/events: labelled events over HTTP, for those who cannot write to the source themselves."""

import asyncio
import ipaddress
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import FastAPI, Request

from service.errors import SourceUnavailableError
from service.serve.body import read_list
from service.serve.problems import ProblemError, documented
from service.serve.schemas import EventsAnswer, events_body
from service.settings import Settings

PATH = "/v1/events"
STATUSES = (202, 400, 403, 413, 415, 422, 500, 503)

MAX_WAITING = 32
"""Requests that may wait for the source; more than these are asked to come back."""

RETRY_AFTER_SECONDS = 5


class EventDesk(Protocol):
    """Where events are handed in. Called from one thread at a time."""

    def submit(self, events: Sequence[Any]) -> list[str | None]:
        """Return for each event, once all are durable, None if it was accepted, else its reason of refusal.

        Refused events are dead-lettered. Blocks. Raises SourceUnavailableError if not all of them could be kept; some
        may have been, so that sending them again can double them.
        """
        ...


def add_events_route(app: FastAPI, settings: Settings, desk: EventDesk) -> None:
    """Add the route that hands events to the desk, one request after the other."""
    # A thread of its own: a source that is away must not use up those that others need.
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="events")
    waiting = 0

    async def send_events(request: Request) -> EventsAnswer:
        """Append labelled events to the source; answered once they are durable."""
        _admit(request, settings.serve.host)
        events, _ = await read_list(
            request, "events", max_bytes=settings.serve.max_body_bytes, max_items=settings.serve.max_instances
        )
        nonlocal waiting
        if waiting >= MAX_WAITING:
            raise _come_back(f"{MAX_WAITING} requests already wait for the source")
        waiting += 1
        try:
            reasons = await asyncio.get_running_loop().run_in_executor(thread, desk.submit, events)
        except SourceUnavailableError as error:
            raise _come_back(str(error)) from None
        finally:
            waiting -= 1
        rejected = [{"index": index, "reason": reason} for index, reason in enumerate(reasons) if reason is not None]
        return EventsAnswer.model_validate({"accepted": len(events) - len(rejected), "rejected": rejected})

    app.add_api_route(
        PATH,
        send_events,
        methods=["POST"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=EventsAnswer,
        responses=documented(STATUSES),
        openapi_extra=events_body(settings),
        tags=["events"],
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _admit(request: Request, bound_to: str) -> None:
    """Raise ProblemError 403 for all but a client on this machine that meant to speak to this machine."""
    client = request.client.host if request.client else ""
    if not is_loopback(bound_to):
        detail = f"events are taken on loopback only, but the server listens on {bound_to}; send them to the source"
    elif not is_loopback(client):
        detail = "events are taken from this machine only; send them to the source"
    elif not is_loopback(_host_named(request)):
        # A web page can make a browser come here under a name of its own (DNS rebinding).
        detail = "events are taken under the name localhost or a loopback address only"
    else:
        return
    raise ProblemError(HTTPStatus.FORBIDDEN, detail)


def _host_named(request: Request) -> str:
    header = request.headers.get("host", "")
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _come_back(why: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"the events were not all kept: {why}; send them again",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
