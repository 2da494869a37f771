"""What serves, what the trainer does, and which checkpoints there are: GET /v1/status and /v1/checkpoints."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from service import __version__
from service.errors import CheckpointMissingError, StoreError
from service.serve.candidates import Candidate
from service.serve.predictor import Predictor
from service.serve.problems import ProblemError, clipped, documented
from service.serve.schemas import (
    CheckpointEntry,
    CheckpointsAnswer,
    Latest,
    Pinned,
    ServingStatus,
    Shadowed,
    StatusAnswer,
)
from service.serve.shadow import Shadow
from service.settings import Settings
from service.store.checkpoints import CheckpointStore, Entry
from service.store.clock import utc_text
from service.store.manifest import FOR_MACHINES, Manifest
from service.store.pin import Pin, read_pin
from service.store.pointer import Pointer
from service.store.status import STATUS, read_status

STATUS_PATH = "/v1/status"
CHECKPOINTS_PATH = "/v1/checkpoints"
CHECKPOINT_PATH = "/v1/checkpoints/{id}"
STATUSES = {STATUS_PATH: (200, 500), CHECKPOINTS_PATH: (200, 500, 503), CHECKPOINT_PATH: (200, 404, 500, 503)}

STALE_WRITES = 5
STALE_SECONDS = 5.0
"""A trainer's status is stale when it is older than so many of its writes, and than so many seconds."""


def stale_after_seconds(settings: Settings) -> float:
    """Return the age from which a trainer's status is stale.

    While the dead letters' topic is away, each attempt keeps what writes the status for half of the trainer's grace.
    """
    blocked = settings.trainer.grace_seconds / 2
    return max(STALE_SECONDS, STALE_WRITES * settings.trainer.status_seconds) + blocked


RETRY_AFTER_SECONDS = 5


def add_inspection_routes(
    app: FastAPI, settings: Settings, store: CheckpointStore, predictor: Predictor, shadow: Shadow | None = None
) -> None:
    """Add the routes that look into the store; they are not async since they read files."""

    def show_status() -> StatusAnswer:
        """Tell what serves and since when, what is pinned, what the pointer names, and how the trainer fares."""
        current = predictor.current
        serving = current and ServingStatus(
            id=current.checkpoint_id,
            since=utc_text(current.since_seconds),
            round=current.manifest.round,
            created_at=current.manifest.created_at,
            trained_until=current.manifest.trained_until,
            labels=list(current.model.labels),
        )
        pointer, pin = _latest(store), _pin(store)
        return StatusAnswer(
            task=current.model.task if current else settings.task,
            model_name=settings.serve.model_name,
            version=__version__,
            serving=serving,
            latest=pointer and Latest(**asdict(pointer)),
            pinned=pin and Pinned(**asdict(pin)),
            trouble=predictor.trouble,
            shadow=[_shadowed(candidate) for candidate in shadow.candidates] if shadow else [],
            trainer=_trainer(settings),
        )

    def list_checkpoints() -> CheckpointsAnswer:
        """List the store's checkpoints, newest first."""
        with _store_problems():
            entries = store.entries()
        latest, pin, current = _latest(store), _pin(store), predictor.current
        named = {
            "serving": current.checkpoint_id if current else None,
            "latest": latest.id if latest else None,
            "pinned": pin.id if pin else None,
        }
        return CheckpointsAnswer(checkpoints=[_entry(entry, named) for entry in entries])

    def show_checkpoint(id: str) -> Manifest:  # noqa: A002 - the path's parameter
        """Show one checkpoint's manifest: where it came from, what it learnt from, and how the gate judged it."""
        try:
            with _store_problems():
                return store.manifest(id)
        except CheckpointMissingError:
            detail = f"there is no checkpoint {clipped(id)!r}; GET {CHECKPOINTS_PATH} lists those there are"
            raise ProblemError(HTTPStatus.NOT_FOUND, detail) from None

    app.add_api_route(
        STATUS_PATH,
        show_status,
        response_model=StatusAnswer,
        responses=documented(STATUSES[STATUS_PATH]),
        tags=["state"],
    )
    app.add_api_route(
        CHECKPOINTS_PATH,
        list_checkpoints,
        response_model=CheckpointsAnswer,
        responses=documented(STATUSES[CHECKPOINTS_PATH]),
        tags=["state"],
    )
    app.add_api_route(
        CHECKPOINT_PATH,
        show_checkpoint,
        response_model=Manifest,
        response_model_exclude=FOR_MACHINES,
        responses=documented(STATUSES[CHECKPOINT_PATH]),
        tags=["state"],
    )


@contextmanager
def _store_problems() -> Iterator[None]:
    try:
        yield
    except CheckpointMissingError:
        raise
    except StoreError as error:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after_seconds=RETRY_AFTER_SECONDS
        ) from None


def _latest(store: CheckpointStore) -> Pointer | None:
    """Return the pointer, None where there is none or it cannot be read: the watcher's trouble says why."""
    with suppress(StoreError):
        return store.latest()
    return None


def _pin(store: CheckpointStore) -> Pin | None:
    """Return the pin, None where there is none or it cannot be read: the watcher's trouble says why."""
    with suppress(StoreError):
        return read_pin(store.path)
    return None


def _entry(entry: Entry, named: Mapping[str, str | None]) -> CheckpointEntry:
    manifest = entry.manifest
    return CheckpointEntry(
        id=entry.id,
        serving=entry.id == named["serving"],
        latest=entry.id == named["latest"],
        pinned=entry.id == named["pinned"],
        round=manifest and manifest.round,
        created_at=manifest and manifest.created_at,
        trained_until=manifest and manifest.trained_until,
        trigger=manifest and manifest.trigger,
        problem=entry.problem,
    )


def _shadowed(candidate: Candidate) -> Shadowed:
    return Shadowed(
        candidate=candidate.name,
        checkpoint=candidate.checkpoint_id,
        since=utc_text(candidate.since_seconds),
        problem=candidate.problem,
    )


def _trainer(settings: Settings) -> dict[str, Any] | None:
    """Return what the trainer wrote, and by the file's own time how long ago."""
    status = read_status(settings.store.path)
    try:
        written_seconds = (settings.store.path / STATUS).stat().st_mtime
    except OSError:
        return None
    if status is None:
        return None
    age_seconds = max(0.0, time.time() - written_seconds)
    stale = age_seconds > stale_after_seconds(settings)
    return {**status, "age_seconds": round(age_seconds, 3), "stale": stale}
