"""What is asked and how its answer is read: every call of the interface as a value, without any network.

How often a call may be sent depends on what sending it twice does; ``Again`` says it for each.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from service.client.answers import (
    CheckpointEntry,
    EventsAnswer,
    Health,
    HistoryEntry,
    Manifest,
    PinAnswer,
    PredictAnswer,
    PromoteAnswer,
    StatusAnswer,
    UnpinAnswer,
)
from service.client.encoding import encoded, pointer
from service.client.errors import (
    FieldFault,
    FreshetHTTPError,
    UnreadableAnswerError,
    UnsendableError,
    class_of,
)

T = TypeVar("T")
DETAIL_CHARACTERS = 200
_ID = re.compile(r"\w[\w.-]*", re.ASCII)
_ITEM = re.compile(r"/(instances|events)/(\d+)(?=/|$)")


class Again(Enum):
    """When a call may be sent once more."""

    ALWAYS = "twice does the same as once"
    IF_REFUSED = "only after a 503: done twice, the history has it twice"
    IF_UNSENT = "only if it never left"


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read; ``first`` is the index that its first item has for the caller."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    again: Again
    body: bytes | None = None
    query: tuple[tuple[str, str], ...] = ()
    accepts: tuple[int, ...] = (HTTPStatus.OK,)
    first: int = 0


class _Entries(msgspec.Struct):
    checkpoints: tuple[CheckpointEntry, ...]


class _History(msgspec.Struct):
    operations: tuple[HistoryEntry, ...]


class _Problem(msgspec.Struct):
    detail: str
    errors: tuple[FieldFault, ...] = ()
    request_id: str | None = None


def _reader(kind: type[T]) -> Callable[[httpx.Response], T]:
    decode = msgspec.json.Decoder(kind).decode

    def read(response: httpx.Response) -> T:
        try:
            return decode(response.content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnreadableAnswerError(f"{_where(response)} is no {kind.__name__.strip('_')}: {error}") from None

    return read


_read_predictions = _reader(PredictAnswer)
_read_events = _reader(EventsAnswer)
_read_status = _reader(StatusAnswer)
_read_entries = _reader(_Entries)
_read_manifest = _reader(Manifest)
_read_promotion = _reader(PromoteAnswer)
_read_pin = _reader(PinAnswer)
_read_unpin = _reader(UnpinAnswer)
_read_history = _reader(_History)


def predict(instances: Iterable[Any], *, explain: bool, first: int, nan_is_missing: bool) -> Call[PredictAnswer]:
    """Return the call for predictions; raises UnsendableError."""
    body = encoded("instances", instances, first=first, nan_is_missing=nan_is_missing)
    query = (("explain", "true"),) if explain else ()
    return Call("POST", "/v1/predict", _read_predictions, Again.ALWAYS, body, query, first=first)


def send_events(events: Iterable[Any], *, resend: bool, first: int, nan_is_missing: bool) -> Call[EventsAnswer]:
    """Return the call that hands events in; raises UnsendableError."""

    def read(response: httpx.Response) -> EventsAnswer:
        answer = _read_events(response)
        moved = tuple(msgspec.structs.replace(one, index=first + one.index) for one in answer.rejected)
        return msgspec.structs.replace(answer, rejected=moved)

    body = encoded("events", events, first=first, nan_is_missing=nan_is_missing)
    again = Again.ALWAYS if resend else Again.IF_UNSENT
    return Call("POST", "/v1/events", read, again, body, accepts=(HTTPStatus.ACCEPTED,), first=first)


STATUS: Call[StatusAnswer] = Call("GET", "/v1/status", _read_status, Again.ALWAYS)
CHECKPOINTS: Call[tuple[CheckpointEntry, ...]] = Call(
    "GET", "/v1/checkpoints", lambda response: _read_entries(response).checkpoints, Again.ALWAYS
)


def checkpoint(checkpoint_id: str) -> Call[Manifest]:
    """Return the call for one checkpoint's manifest; raises UnsendableError for what is no id."""
    return Call("GET", f"/v1/checkpoints/{_named(checkpoint_id)}", _read_manifest, Again.ALWAYS)


def promote(checkpoint_id: str, *, reason: str | None) -> Call[PromoteAnswer]:
    """Return the call that lets servers answer from a checkpoint; raises UnsendableError for what is no id."""
    path = f"/v1/checkpoints/{_named(checkpoint_id)}/promote"
    return Call("POST", path, _read_promotion, Again.IF_REFUSED, _stated(reason=reason))


def pin(checkpoint_id: str, *, reason: str | None) -> Call[PinAnswer]:
    """Return the call that pins a checkpoint; raises UnsendableError for what is no id."""
    body = _stated(id=_named(checkpoint_id), reason=reason)
    return Call("POST", "/v1/pin", _read_pin, Again.IF_REFUSED, body)


def unpin(*, reason: str | None) -> Call[UnpinAnswer]:
    """Return the call that removes the pin."""
    query = () if reason is None else (("reason", reason),)
    return Call("DELETE", "/v1/pin", _read_unpin, Again.IF_REFUSED, query=query)


def history(limit: int) -> Call[tuple[HistoryEntry, ...]]:
    """Return the call for what operators did."""
    query = (("limit", str(limit)),)
    return Call("GET", "/v1/history", lambda response: _read_history(response).operations, Again.ALWAYS, query=query)


def _stated(**texts: str | None) -> bytes:
    return msgspec.json.encode({name: text for name, text in texts.items() if text is not None})


def _read_health(response: httpx.Response) -> Health:
    return Health(response.status_code == HTTPStatus.OK, refusal(response).detail if response.is_error else None)


def _probe(path: str) -> Call[Health]:
    accepts = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    return Call("GET", path, _read_health, Again.ALWAYS, accepts=accepts)


READY = _probe("/readyz")
HEALTHY = _probe("/healthz")


def answer_of(call: Call[T], response: httpx.Response) -> T:
    """Return what was asked for; raises FreshetHTTPError if it was refused, else UnreadableAnswerError."""
    if response.status_code in call.accepts:
        return call.read(response)
    if response.is_error:
        raise refusal(response, first=call.first)
    location = response.headers.get("location")
    hint = f"; is {location} the address to use?" if location else ""
    raise UnreadableAnswerError(f"{_where(response)} has status {response.status_code}{hint}")


def refusal(response: httpx.Response, *, first: int = 0) -> FreshetHTTPError:
    """Return the error for an answer of 400 or more, which may also be a proxy's."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = " ".join(response.text.split())[:DETAIL_CHARACTERS]
        problem = _Problem(text or response.reason_phrase)
    return class_of(response.status_code)(
        response.status_code,
        problem.detail,
        tuple(FieldFault(_moved(fault.pointer, first), fault.detail) for fault in problem.errors),
        problem.request_id or response.headers.get("x-request-id"),
        _seconds(response.headers.get("retry-after")),
    )


def _moved(place: str, first: int) -> str:
    """Return a pointer into a batch as one into all that the caller has."""
    found = _ITEM.match(place)
    return pointer(found[1], first + int(found[2])) + place[found.end() :] if found else place


def _seconds(header: str | None) -> float | None:
    """Return how long Retry-After asks to wait; it is a number or a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _named(checkpoint_id: str) -> str:
    if not _ID.fullmatch(checkpoint_id):
        raise UnsendableError(f"{checkpoint_id[:50]!r} is no checkpoint's id; checkpoints() lists those there are")
    return checkpoint_id


def _where(response: httpx.Response) -> str:
    return f"the answer to {response.request.method} {response.request.url.copy_with(query=None)}"
