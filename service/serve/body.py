"""Reads a request's JSON body: bounded in bytes, and never a reason for a 500."""

import json
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request

from service.serve.problems import FieldError, ProblemError, clipped, pointer

_FINITE_DIGITS = 400
"""An integer with more digits overflows a double; Python refuses to read one of more than 4,300."""


async def read_list(request: Request, key: str, *, max_bytes: int, max_items: int) -> tuple[list[Any], int]:
    """Return the list that stands under ``key``, the body's only one, and the body's size in bytes.

    Raises ProblemError: 413 for too many bytes or items, 415 unless declared as JSON, 400 for what is not JSON, 422 for
    JSON of another form.
    """
    body = await _read_bytes(request, max_bytes)
    items = _only_list(parse_json(body), key)
    if len(items) > max_items:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{key} has {len(items)} entries, but at most {max_items} are taken at once; send them in parts",
            errors=[FieldError(pointer(key), f"more than {max_items} entries")],
        )
    return items, len(body)


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return what a body says. NaN, infinities and any integer are numbers here, so that a field can be blamed for one.

    Raises ProblemError with status 400.
    """
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        # msgspec is fast and strict; the standard library also reads what it refuses for a number's sake.
        return _parse_leniently(body)


def _parse_leniently(body: bytes) -> Any:  # noqa: ANN401 - JSON holds anything
    try:
        return json.loads(body.decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: byte {error.start} cannot be read"
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        detail = "the body is nested too deeply"
    raise ProblemError(HTTPStatus.BAD_REQUEST, detail, errors=[FieldError("", detail)])


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _FINITE_DIGITS else float(digits)


async def _read_bytes(request: Request, max_bytes: int) -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Also what keeps web pages out: a browser asks before it sends JSON to another site, and is refused.
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is declared as {clipped(media_type) or 'no type'}; send it with Content-Type: application/json",
        )
    declared = request.headers.get("content-length", "")
    too_large = ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {max_bytes} bytes; send it in parts"
    )
    if declared.isdecimal() and (len(declared) > len(str(max_bytes)) + 9 or int(declared) > max_bytes):
        raise too_large
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise too_large
    return bytes(chunks)


def _only_list(body: object, key: str) -> list[Any]:
    wanted = f'the body must be {{"{key}": [...]}}'
    if not isinstance(body, dict):
        errors = [FieldError("", "not an object")]
    elif key not in body:
        errors = [FieldError(pointer(key), "missing")]
    elif not isinstance(body[key], list):
        errors = [FieldError(pointer(key), "not an array")]
    elif not body[key]:
        errors = [FieldError(pointer(key), "empty; at least one entry is needed")]
    else:
        errors = [FieldError(pointer(other), "not known here") for other in list(body)[:10] if other != key]
        if not errors:
            found: list[Any] = body[key]
            return found
    raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, wanted, errors=errors)
