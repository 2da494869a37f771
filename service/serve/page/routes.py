"""The routes of the status page: ``/``, its files, and ``/v1/overview``, which it asks for again and again."""

import asyncio
import time
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.serve.page.assets import INDEX, Asset, answer_of, assets, etag_of
from service.serve.page.collect import Collector
from service.serve.page.forms import OverviewAnswer
from service.serve.predictor import Predictor
from service.serve.problems import ProblemError, clipped, documented
from service.settings import Settings
from service.store.checkpoints import CheckpointStore

PATH = "/"
FILE_PATH = "/page/{name}"
OVERVIEW_PATH = "/v1/overview"
STATUSES = {PATH: (200, 304), FILE_PATH: (200, 304, 404), OVERVIEW_PATH: (200, 304, 500, 503)}

FRESH_SECONDS = 0.5
"""An answer is good for so long: however many look, the store is read no more often."""

PATIENCE_SECONDS = 5.0
RETRY_AFTER_SECONDS = 2

JSON = "application/json"
KEPT = {"Cache-Control": "private, no-cache"}
"""By the one browser that shows it, which asks each time; without a copy of its own a 304 would tell it nothing."""

log = structlog.get_logger(__name__)


class Overview:
    """Answers with what a collector finds; it reads in a thread, once for all who ask meanwhile."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._reading: asyncio.Task[Asset] | None = None
        self._read_at = -FRESH_SECONDS

    async def answer(self, if_none_match: str | None) -> Response:
        """Return the answer, or word that it is the one that the client has.

        Raises ProblemError 503 where the store keeps the thread waiting.
        """
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._read_at >= FRESH_SECONDS):
            self._reading, self._read_at = asyncio.create_task(asyncio.to_thread(self._read)), now
        reading = self._reading
        done, _ = await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
        if not done:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the store has not answered for {PATIENCE_SECONDS:g} seconds; is its disk or network away?",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        if reading.exception() is not None:
            self._reading = None  # the next request tries anew
        return answer_of(reading.result(), if_none_match, KEPT)

    def _read(self) -> Asset:
        body = self._collector.collect().model_dump_json().encode()
        return Asset(body, JSON, etag_of(body))


def add_page_routes(app: FastAPI, settings: Settings, store: CheckpointStore, predictor: Predictor) -> None:
    """Add the page, its files and its data."""
    overview = Overview(Collector(settings, store, predictor))

    async def show_overview(request: Request) -> Response:
        """Tell what serves, how it compares with the model that was never updated, and why: what the page `/` shows.

        With `If-None-Match` an answer that the client has already is not sent again.
        """
        return await overview.answer(request.headers.get("if-none-match"))

    async def page(request: Request) -> Response:
        return answer_of(assets()[INDEX], request.headers.get("if-none-match"))

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        asset = assets().get(name) if name != INDEX else None
        if asset is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"the status page has no file {clipped(name)!r}")
        return answer_of(asset, request.headers.get("if-none-match"))

    responses: dict[int | str, dict[str, Any]] = documented(STATUSES[OVERVIEW_PATH])
    responses[int(HTTPStatus.NOT_MODIFIED)] = {"description": "Not Modified"}
    app.add_api_route(OVERVIEW_PATH, show_overview, response_model=OverviewAnswer, responses=responses, tags=["state"])
    app.add_route(PATH, page, include_in_schema=False)
    app.add_route(FILE_PATH, file, include_in_schema=False)
