"""Reads one event's JSON: fast where it fits, slowly where it does not, to find out what is wrong with it."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np

from service.model.features import FeatureColumns, finite, kind_of
from service.records import REFUSAL_REASONS

Event = tuple[tuple[Any, ...], Any, Any, str | None]
"""One event whose features, label's type and id fit: features in column order, label, ts, id; None where missing."""

DETAIL_CHARACTERS = 200
in_order = msgspec.structs.astuple

MAX_INTEGER_DIGITS = 400  # more than any double has

MAX_DEPTH = 200
"""How deep arrays and objects may be nested. Far below where the readers give up, which depends on who calls them."""

QUOTED = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # without an end, too: no text is looked at twice

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")


class DecodeFault(Exception):  # noqa: N818 - it never leaves the decoder; a fault is the word for it
    """Why a record is refused: a reason from REFUSAL_REASONS, and words for a human."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail[:DETAIL_CHARACTERS].encode(errors="backslashreplace").decode()


def fast_decoder(columns: FeatureColumns, *, regression: bool) -> Callable[[bytes], Any]:
    """Return a function that reads events that fit, and raises msgspec.MsgspecError for all others.

    It gives an object with ``features``, of which ``in_order`` makes a tuple, ``label``, ``ts`` and ``id``. Its caller
    makes sure that the bytes are UTF-8.
    """
    kinds: list[Any] = [float] * len(columns.numeric) + [bool] * len(columns.boolean)
    for place in columns.vectors.values():
        length = place.stop - place.start
        kinds.append(Annotated[list[float], msgspec.Meta(min_length=length, max_length=length)])
    kinds += [str] * len(columns.categorical)
    fields: list[Any] = []
    for index, (name, kind) in enumerate(zip(columns.names, kinds, strict=True)):
        fields.append((f"f{index}", kind | None, None) if name in columns.nullable else (f"f{index}", kind))
    try:
        features = msgspec.defstruct(
            "Features",
            fields,
            rename={f"f{index}": name for index, name in enumerate(columns.names)},
            kw_only=True,
            gc=False,
            forbid_unknown_fields=True,
        )
    except ValueError:  # a name with a quote, a backslash or a control character is beyond msgspec
        return _refuse
    label = float | None if regression else str | int | float | bool | None
    event: Any = msgspec.defstruct(
        "Event",
        [
            ("features", features),
            ("label", label, None),
            ("ts", int | float | str | None, None),
            ("id", str | None, None),
        ],
        kw_only=True,
        gc=False,
    )
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(event).decode
    return decode


def too_deep(value: bytes) -> bool:
    """Tell whether a record is nested deeper than MAX_DEPTH; what is no JSON gives either answer."""
    # Brackets come in pairs: most records are too short for so many, or have too few.
    if len(value) <= 2 * MAX_DEPTH or value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    signs = np.frombuffer(QUOTED.sub(b"", value), dtype=np.uint8)
    opening = np.isin(signs, (ord("["), ord("{"))).astype(np.int64)
    closing = np.isin(signs, (ord("]"), ord("}"))).astype(np.int64)
    return bool((opening - closing).cumsum().max(initial=0) > MAX_DEPTH)


def read_slowly(value: bytes, columns: FeatureColumns, *, regression: bool) -> Event:
    """Read one event; raise DecodeFault with the first reason, in their order, why it does not fit."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise DecodeFault("not_utf8", str(error)) from error
    try:
        event = json.loads(text, parse_int=_integer)
    except RecursionError as error:
        raise DecodeFault("not_json", "nested too deep to be read") from error
    except ValueError as error:
        raise DecodeFault("not_json", str(error)) from error
    if not isinstance(event, dict):
        raise DecodeFault("not_object", f"an event must be an object, not {kind_of(event)}")
    features: Any = event.get("features")
    label, name = event.get("label"), event.get("id")
    if features is None:
        found = [("missing_feature", "features are missing")]
    else:
        found = [(fault.reason, fault.detail) for fault in columns.faults(features)]
    found += _id_faults(name) + (_number_label_faults(label) if regression else _text_label_faults(label))
    if found:
        raise DecodeFault(*min(found, key=lambda fault: REFUSAL_REASONS.index(fault[0])))
    return columns.row(features), label, event.get("ts"), name


def timestamp_ms(ts: object) -> int:
    """Return an event's ``ts``, epoch milliseconds or RFC 3339 with an offset, as epoch milliseconds; -1 if neither."""
    if isinstance(ts, str):
        text = ts.upper()
        if not RFC_3339.fullmatch(text):
            return -1
        try:
            return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)
        except ValueError:  # a 30th of February, or an offset of a day
            return -1
    if isinstance(ts, bool) or not isinstance(ts, int | float) or not finite(ts):
        return -1
    return math.floor(ts)


def _refuse(value: bytes) -> NoReturn:
    raise msgspec.DecodeError(f"{len(value)} bytes")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)


def _half_pair(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _id_faults(name: object) -> list[tuple[str, str]]:
    if name is None or (isinstance(name, str) and not _half_pair(name)):
        return []
    what = "half a surrogate pair" if isinstance(name, str) else kind_of(name)
    return [("wrong_type", f"id must be a string, not {what}")]


def _text_label_faults(label: object) -> list[tuple[str, str]]:
    if isinstance(label, list | dict):
        return [("wrong_type", f"label must be a string, a number or a boolean, not {kind_of(label)}")]
    if isinstance(label, str) and _half_pair(label):
        return [("wrong_type", "label holds half a surrogate pair, which is not text")]
    if isinstance(label, int | float) and not finite(label):
        return [("not_finite", "label is NaN, infinite or too large")]
    return []


def _number_label_faults(label: object) -> list[tuple[str, str]]:
    if label is None:
        return []
    if isinstance(label, bool) or not isinstance(label, int | float):
        return [("wrong_type", f"label must be a number, not {kind_of(label)}")]
    return [] if finite(label) else [("not_finite", "label is NaN, infinite or too large")]
