"""What operators change by hand: promote a checkpoint, pin one, remove the pin; and the history of all that."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Query, Request
from pydantic import ValidationError

from service.errors import CheckpointMissingError, StoreError, StoreUnavailableError
from service.serve.access import SCHEME, require_role
from service.serve.body import parse_json, read_body
from service.serve.bounds import Places
from service.serve.control_forms import (
    PIN_BODY,
    PROMOTE_BODY,
    HistoryAnswer,
    HistoryEntry,
    PinAnswer,
    PromoteAnswer,
    UnpinAnswer,
)
from service.serve.problems import FieldError, ProblemError, clipped, documented, pointer
from service.serve.schemas import Latest, Pinned
from service.serve.threads import in_thread
from service.serve.tokens import Holder
from service.serve.watcher import build
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.store.manifest import is_id
from service.store.operations import MAX_REASON_CHARS, Operations, Operator, one_line
from service.store.pin import Pin, find_pin

PROMOTE_PATH = "/v1/checkpoints/{id}/promote"
PIN_PATH = "/v1/pin"
HISTORY_PATH = "/v1/history"

PROMOTE_STATUSES = (200, 400, 401, 403, 404, 408, 409, 413, 415, 422, 500, 503)
PIN_STATUSES = PROMOTE_STATUSES
UNPIN_STATUSES = (200, 401, 403, 422, 500, 503)
HISTORY_STATUSES = (200, 422, 500, 503)
STATUSES = {PROMOTE_PATH: PROMOTE_STATUSES, PIN_PATH: PIN_STATUSES, HISTORY_PATH: HISTORY_STATUSES}

MAX_BODY_BYTES = 16 * 2**10
"""The longest reason takes six kilobytes, however it is escaped."""

SECURED: dict[str, Any] = {"security": [{SCHEME: []}]}
MAX_ERRORS = 10
MOST_AT_ONCE = 8
MOST_ENTRIES = 1_000
RETRY_AFTER_SECONDS = 5

Administrator = Annotated[Holder, Depends(require_role("admin"))]
Reason = Annotated[str | None, Query(max_length=MAX_REASON_CHARS, description="why, for the history")]
Limit = Annotated[int, Query(ge=1, le=MOST_ENTRIES, description="most entries")]

log = structlog.get_logger(__name__)


def add_control_routes(app: FastAPI, settings: Settings, store: CheckpointStore) -> None:
    """Add the routes; a checkpoint that this server could not answer from is refused."""
    operations = Operations(store, check=lambda checkpoint: build(settings, checkpoint))
    limits = settings.serve.model_copy(update={"max_body_bytes": min(MAX_BODY_BYTES, settings.serve.max_body_bytes)})
    # A thread of its own: a store that hangs must not use up those that others need.
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control")
    places = Places(MOST_AT_ONCE, "of operators", retry_after_seconds=RETRY_AFTER_SECONDS)

    async def body_of(request: Request, known: Collection[str]) -> dict[str, str | None]:
        if not _has_body(request):
            return {}
        return _object(await read_body(request.scope, request.receive, limits), known)

    async def promote(id: str, request: Request, holder: Administrator) -> PromoteAnswer:  # noqa: A002 - the path's
        """Let servers answer from a checkpoint until the gate's next promotion; learning goes on from it."""
        with places:
            operator = _operator(holder, await body_of(request, ("reason",)))
            with _problems(id):
                moved = await in_thread(thread, operations.promote, id, operator)
            pin, damage = await in_thread(thread, _pin_there, store)
        log.info("promoted by hand", checkpoint=moved.id, by=moved.by, reason=moved.reason)
        note = _note(moved.id, pin, damage)
        return PromoteAnswer(latest=Latest(**asdict(moved)), pinned=_pinned(pin), note=note)

    async def pin(request: Request, holder: Administrator) -> PinAnswer:
        """Let every server answer from a checkpoint until the pin is deleted; learning and publishing go on."""
        with places:
            body = await body_of(request, ("id", "reason"))
            wanted = _id_in(body)
            operator = _operator(holder, body)
            with _problems(wanted):
                new, replaced = await in_thread(thread, operations.pin, wanted, operator)
                latest = await in_thread(thread, _latest, store)
        log.info("pinned", checkpoint=new.id, by=new.by, reason=new.reason)
        return PinAnswer(pinned=Pinned(**asdict(new)), replaced=replaced, latest=latest)

    async def unpin(holder: Administrator, reason: Reason = None) -> UnpinAnswer:
        """Let servers follow what is published again; without a pin it changes nothing."""
        operator = Operator(holder.name, one_line(reason))
        with places, _problems(""):
            removed, was = await in_thread(thread, operations.unpin, operator)
            latest = await in_thread(thread, _latest, store)
        if removed:
            log.info("pin removed", checkpoint=was and was.id, by=operator.name, reason=operator.reason)
        return UnpinAnswer(removed=removed, was=_pinned(was), latest=latest)

    def history(limit: Limit = 100) -> HistoryAnswer:
        """Tell what was promoted, pinned and unpinned by hand: when, by whom and why; the newest first."""
        with _problems(""):
            entries = operations.history(limit)
        return HistoryAnswer(operations=[told for entry in entries for told in _told(entry)])

    routes: Sequence[tuple[str, str, Callable[..., Any], Sequence[int], dict[str, Any]]] = (
        (PROMOTE_PATH, "POST", promote, PROMOTE_STATUSES, SECURED | PROMOTE_BODY),
        (PIN_PATH, "POST", pin, PIN_STATUSES, SECURED | PIN_BODY),
        (PIN_PATH, "DELETE", unpin, UNPIN_STATUSES, SECURED),
        (HISTORY_PATH, "GET", history, HISTORY_STATUSES, {}),
    )
    for path, method, endpoint, statuses, extra in routes:
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            responses=documented(statuses),
            openapi_extra=extra,
            tags=["control"],
        )


@contextmanager
def _problems(checkpoint_id: str) -> Iterator[None]:
    """Turn what the store has to say into problems."""
    try:
        yield
    except CheckpointMissingError:
        detail = f"there is no checkpoint {clipped(checkpoint_id)!r}; GET /v1/checkpoints lists those there are"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail) from None
    except StoreUnavailableError as error:
        status = HTTPStatus.SERVICE_UNAVAILABLE
        raise ProblemError(status, str(error), retry_after_seconds=RETRY_AFTER_SECONDS) from None
    except StoreError as error:
        raise ProblemError(HTTPStatus.CONFLICT, f"it could not serve: {error}") from None


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


class _Object(list[tuple[str, Any]]):
    """A JSON object as it was written: also a key that stands twice."""


def _object(body: bytes, known: Collection[str]) -> dict[str, str | None]:
    """Return a body's texts by name; raises ProblemError: 400 for what is no JSON, 422 for another form."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_Object, parse_int=float)
    except (ValueError, RecursionError):
        parse_json(body)  # has words for it
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body cannot be read as JSON") from None
    errors = [FieldError("", "not an object")]
    if isinstance(found, _Object):
        names = [name for name, _ in found]
        faults = {name: _fault(name, value, names, known) for name, value in found}
        errors = [FieldError(pointer(name), fault) for name, fault in faults.items() if fault][:MAX_ERRORS]
    if errors:
        wanted = f"the body must be an object of texts under {' and '.join(known)}"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, wanted, errors=errors)
    return dict(found)


def _fault(name: str, value: object, names: Sequence[str], known: Collection[str]) -> str | None:
    if name not in known:
        return "not known here"
    if names.count(name) > 1:
        return "stands more than once"
    return None if value is None or isinstance(value, str) else "not a text"


def _id_in(body: dict[str, str | None]) -> str:
    wanted = body.get("id")
    if wanted is not None and is_id(wanted):
        return wanted
    fault = "missing" if "id" not in body else "not a checkpoint's id, such as 000042-3f9a1c2b"
    detail = "id must name the checkpoint to pin; GET /v1/checkpoints lists those there are"
    raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=[FieldError(pointer("id"), fault)])


def _operator(holder: Holder, body: dict[str, str | None]) -> Operator:
    """Return who acts and why; raises ProblemError 422 if the reason is too long."""
    try:
        return Operator(holder.name, one_line(body.get("reason")))
    except ValueError as error:
        detail = f"reason must be a text of at most {MAX_REASON_CHARS} characters"
        errors = [FieldError(pointer("reason"), str(error))]
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors) from None


def _pinned(pin: Pin | None) -> Pinned | None:
    return Pinned(**asdict(pin)) if pin else None


def _note(promoted: str, pin: Pin | None, damage: str | None) -> str:
    if damage is not None:
        return f"servers go on with what serves, for there is a pin that cannot be read: {damage}"
    if pin is None or pin.id == promoted:
        return "servers take it over when they look next"
    return f"servers go on answering from {pin.id}, which is pinned, and take this one over once the pin is deleted"


def _pin_there(store: CheckpointStore) -> tuple[Pin | None, str | None]:
    """Return the pin, or what is wrong with it; a store that has gone since the promotion does not undo that."""
    try:
        return find_pin(store.path)
    except StoreError as error:
        return None, str(error)


def _latest(store: CheckpointStore) -> Latest | None:
    with suppress(StoreError):
        found = store.latest()
        return Latest(**asdict(found)) if found else None
    return None


def _told(entry: dict[str, Any]) -> Iterator[HistoryEntry]:
    with suppress(ValidationError):  # a line that another program wrote
        yield HistoryEntry.model_validate(entry)
