"""Reads a request's JSON body: bounded in bytes, time and depth, and never a reason for a 500."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from service.serve.problems import FieldError, ProblemError, clipped, pointer
from service.serve.wire import BODY_IS_HERE
from service.settings import Serve, Settings

MAX_DEPTH = 32
"""Of the whole body, of which instances take three and events four; nobody nests a feature."""

MAX_REPEATED = 100
"""Repeated keys that one answer names."""

EVENT_VALUES = 8
VALUES_PER_ITEM = 2
"""Twice as many values as the schema's features and an event's own keys: commas within texts count as well."""

TOO_DEEP = f"the body is nested too deeply; at most {MAX_DEPTH} levels are read"
_FINITE_DIGITS = 400
"""An integer with more digits overflows a double; Python refuses to read one of more than 4,300."""


async def read_body(
    scope: Scope, receive: Receive, limits: Serve, *, media_types: Sequence[str] = ("application/json",)
) -> bytes:
    """Return a request's body.

    Raises ProblemError: 413 for too many bytes, whatever length was declared, 415 unless it is declared as one of
    ``media_types`` (the empty one: not at all) or, where JSON is among them, as JSON under another name, 408 if it does
    not arrive within ``serve.body_seconds``; ClientDisconnect if the client goes first.
    """
    max_bytes = limits.max_body_bytes
    declared = declared_type = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            declared_type = value
        elif name == b"content-length":
            declared = value
    _check_type(declared_type, media_types)
    if BODY_IS_HERE in scope.get("state", ()):
        return await _receive_all(receive, max_bytes)
    if declared.isdigit() and (len(declared) > len(str(max_bytes)) + 9 or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _receive_all(receive, max_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {limits.body_seconds:g} s; send it faster, or in parts"
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from None


async def _receive_all(receive: Receive, max_bytes: int) -> bytes:
    body = b""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body = message.get("body", b"")
        size += len(body)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(body)
        more = message.get("more_body", False)
    return b"".join(chunks) if chunks[1:] else body


def _check_type(declared: bytes, media_types: Sequence[str]) -> None:
    # Also what keeps web pages out: a browser asks before it sends JSON to another site, and is refused.
    if declared == b"application/json" and "application/json" in media_types:
        return
    media_type = declared.decode("latin-1").partition(";")[0].strip().lower()
    other_json = media_type.startswith("application/") and media_type.endswith("+json")
    if media_type not in media_types and not (other_json and "application/json" in media_types):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is declared as {clipped(media_type) or 'no type'}; "
            f"send it with Content-Type: {' or '.join(filter(None, media_types))}",
        )


def _too_large(max_bytes: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {max_bytes} bytes; send it in parts"
    )


def list_in(body: bytes, key: str, settings: Settings, *, unique_keys: bool = False) -> list[Any]:
    """Return the list that stands under ``key``, the body's only one.

    Raises ProblemError: 400 for what is not JSON or nested deeper than MAX_DEPTH, 422 for JSON of another form or, with
    ``unique_keys``, if a key of the body or of an entry comes twice, 413 for more than ``serve.max_instances`` items,
    or far more values than so many have.
    """
    max_items = settings.serve.max_instances
    schema = settings.schema_
    values = len(schema.names) + sum(schema.vector.values()) + EVENT_VALUES
    max_values = VALUES_PER_ITEM * max_items * values
    # Counted before it is read: a body of millions of empty arrays would hold everything up for seconds.
    if sum(body.count(mark) for mark in (b",", b"[", b"{")) > max_values:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body holds more values than {max_items} entries of this schema have; send them in parts",
        )
    value = _parse_leniently(body, _Repeating.of) if unique_keys else parse_json(body)
    if _deeper_than(value, MAX_DEPTH):
        raise _unreadable(TOO_DEEP)
    items = _only_list(value, key)
    if len(items) > max_items:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{key} has {len(items)} entries, but at most {max_items} are taken at once; send them in parts",
            errors=[FieldError(pointer(key), f"more than {max_items} entries")],
        )
    if unique_keys:
        _refuse_repeated(value, key, items)
    return items


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return what a body says. NaN, infinities and any integer are numbers here, so that a field can be blamed for one.

    Raises ProblemError with status 400.
    """
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        # msgspec is fast and strict; the standard library also reads what it refuses for a number's sake.
        return _parse_leniently(body)


class _Repeating(dict[str, Any]):
    """An object in which the ``key`` came more than once."""

    key = ""

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        counts = Counter(key for key, _ in pairs)
        repeating = cls(found)
        repeating.key = next(key for key in counts if counts[key] > 1)
        return repeating


def _refuse_repeated(body: object, key: str, items: Sequence[Any]) -> None:
    places = [(), *((key, index) for index in range(len(items)))]
    errors = [
        FieldError(pointer(*place, found.key), "stands more than once")
        for place, found in zip(places, (body, *items), strict=True)
        if isinstance(found, _Repeating)
    ][:MAX_REPEATED]
    if errors:
        detail = f"{clipped(errors[0].pointer)} stands more than once; which is meant?"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def _parse_leniently(body: bytes, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:  # noqa: ANN401
    try:
        return json.loads(body.decode(), parse_int=_integer, object_pairs_hook=hook)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: byte {error.start} cannot be read"
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        detail = TOO_DEEP
    raise _unreadable(detail)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _FINITE_DIGITS else float(digits)


def _deeper_than(body: object, depth: int) -> bool:
    """Tell whether lists and objects stand within one another more than ``depth`` times, level by level."""
    level: list[Any] = [body] if isinstance(body, dict | list) else []
    for _ in range(depth):
        inner = (value for held in level for value in (held.values() if isinstance(held, dict) else held))
        level = [value for value in inner if isinstance(value, dict | list)]
    return bool(level)


def _unreadable(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, detail, errors=[FieldError("", detail)])


def _only_list(body: object, key: str) -> list[Any]:
    wanted = f'the body must be {{"{key}": [...]}}'
    if not isinstance(body, dict):
        errors = [FieldError("", "not an object")]
    elif key not in body:
        errors = [FieldError(pointer(key), "missing")]
    elif not isinstance(body[key], list):
        errors = [FieldError(pointer(key), "not an array")]
    elif not body[key]:
        wanted = f"{key} is empty; at least one entry is needed"
        errors = [FieldError(pointer(key), "empty")]
    else:
        errors = [FieldError(pointer(other), "not known here") for other in list(body)[:10] if other != key]
        if not errors:
            found: list[Any] = body[key]
            return found
    raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, wanted, errors=errors)
