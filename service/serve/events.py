"""POST /v1/events: labelled events over HTTP, for those who cannot write to the source themselves."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from service.errors import SourceUnavailableError
from service.serve.access import SCHEME, admit_local_or, is_loopback
from service.serve.body import list_in, read_body
from service.serve.bounds import Places
from service.serve.problems import ProblemError, documented
from service.serve.request_forms import events_body
from service.serve.schemas import EventsAnswer
from service.serve.threads import in_thread
from service.settings import Settings

PATH = "/v1/events"
STATUSES = (202, 400, 401, 403, 408, 413, 415, 422, 500, 503)

INLINE_BYTES = 64 * 2**10
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
    serve = settings.serve
    places = Places(serve.max_events_in_flight, "serve.max_events_in_flight", retry_after_seconds=RETRY_AFTER_SECONDS)

    async def send_events(request: Request) -> EventsAnswer:
        """Append labelled events to the source; answered once they are durable."""
        admit_local_or(request, "events", bound_to=serve.host)
        with places:
            body = await read_body(request.scope, request.receive, serve)
            if len(body) > INLINE_BYTES:
                events = await run_in_threadpool(list_in, body, "events", settings)
            else:
                events = list_in(body, "events", settings)
            try:
                reasons = await in_thread(thread, desk.submit, events)
            except SourceUnavailableError as error:
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"the events were not all kept: {error}; send them again",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                ) from None
        rejected = [{"index": index, "reason": reason} for index, reason in enumerate(reasons) if reason is not None]
        return EventsAnswer.model_validate({"accepted": len(events) - len(rejected), "rejected": rejected})

    # Where the server listens on loopback a token is one of two ways in: {} says that none is needed.
    security: list[dict[str, list[str]]] = [{}] if is_loopback(serve.host) else []
    if serve.tokens_file is not None:
        security.append({SCHEME: []})
    app.add_api_route(
        PATH,
        send_events,
        methods=["POST"],
        status_code=HTTPStatus.ACCEPTED,
        response_model=EventsAnswer,
        responses=documented(STATUSES),
        openapi_extra=events_body(settings) | ({"security": security} if security else {}),
        tags=["events"],
    )
