"""What the contract says of one record, written anew without any of the decoder's code: a judge to compare it with.

Slow and plain on purpose. It knows ``json`` and the list of reasons, no more; numbers stay text until they are judged.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

DAY_MS = 86_400_000
DEEPEST = 200
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)


class Number(str):
    """A number as it was spelt, NaN and Infinity among them."""

    __slots__ = ()

    @property
    def whole(self) -> bool:
        """Whether it was spelt as an integer."""
        return self.lstrip("-").isdigit()

    @property
    def finite(self) -> bool:
        """Whether a double can hold it."""
        return math.isfinite(float(self))


class Fits(NamedTuple):
    """An accepted record: ``numbers`` with NaN for missing, categories or None, label as text or number, ts, id."""

    numbers: tuple[float, ...]
    categories: tuple[str | None, ...]
    label: str | float
    ts: int
    id: str | None


class WrongError(Exception):
    """The first reason that fits; it is the only argument."""


@dataclass
class Contract:
    """The rules for one schema. ``labels`` grows while ``open_labels``; None for a regression."""

    numeric: Sequence[str]
    boolean: Sequence[str]
    categorical: Sequence[str]
    nullable: Sequence[str]
    labels: list[str] | None
    max_bytes: int
    now_ms: int
    open_labels: bool = False
    most_labels: int = 10_000
    vector: Mapping[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = (*self.numeric, *self.boolean, *self.vector, *self.categorical)

    def judge(self, value: bytes | None, recorded_ms: int = -1) -> Fits | str:
        """Return the record's content if it fits, else the first reason why not; a new label is remembered."""
        try:
            return self._judge(value, recorded_ms)
        except WrongError as wrong:
            return str(wrong.args[0])

    def _judge(self, value: bytes | None, recorded_ms: int) -> Fits:
        event = self._object(value)
        features, name, label = event.get("features"), event.get("id"), event.get("label")
        given = features if isinstance(features, dict) else {}
        missing = [one for one in self.names if given.get(one) is None and one not in self.nullable]
        wrong_types, not_finite = self._typed(given)
        if features is not None and not isinstance(features, dict):
            missing, wrong_types = [], True
        if features is None or missing:
            raise WrongError("missing_feature")
        if set(given) - set(self.names):
            raise WrongError("unknown_feature")
        if wrong_types or not (name is None or _is_text(name)) or not self._label_fits(label):
            raise WrongError("wrong_type")
        if not_finite or (isinstance(label, Number) and not label.finite):
            raise WrongError("not_finite")
        if label is None:
            raise WrongError("missing_label")
        known = self._known(label)
        ts = self._time(event.get("ts"), recorded_ms)
        if not known and self.labels is not None:
            self.labels.append(_label_text(label))
        return Fits(
            numbers=tuple(_double(given.get(one)) for one in (*self.numeric, *self.boolean))
            + tuple(
                _double(element)
                for name, length in self.vector.items()
                for element in given.get(name) or [None] * length
            ),
            categories=tuple(given.get(one) for one in self.categorical),
            label=float(label) if self.labels is None else _label_text(label),
            ts=ts,
            id=name,
        )

    def _object(self, value: bytes | None) -> dict[str, Any]:
        if value is None:
            raise WrongError("tombstone")
        if len(value) > self.max_bytes:
            raise WrongError("too_large")
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            raise WrongError("not_utf8") from None
        try:
            if _depth(text) > DEEPEST:
                raise WrongError("not_json")
            event = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)
        except (ValueError, RecursionError):
            raise WrongError("not_json") from None
        if not isinstance(event, dict):
            raise WrongError("not_object")
        return event

    def _typed(self, given: Mapping[str, Any]) -> tuple[bool, bool]:
        """Tell whether a feature has a wrong type, and whether one is not finite."""
        kinds = {
            **dict.fromkeys(self.numeric, lambda one: isinstance(one, Number)),
            **dict.fromkeys(self.boolean, lambda one: isinstance(one, bool)),
            **dict.fromkeys(self.categorical, _is_text),
        }
        present = [(name, given[name]) for name in kinds if given.get(name) is not None]
        wrong = any(not kinds[name](value) for name, value in present)
        numbers = [value for name, value in present if name in self.numeric and _is_number(value)]
        for name, length in self.vector.items():
            elements = given.get(name)
            if elements is None:
                continue
            fits = isinstance(elements, list) and len(elements) == length and all(map(_is_number, elements))
            wrong = wrong or not fits
            numbers += elements if fits else []
        return wrong, any(not value.finite for value in numbers)

    def _label_fits(self, label: object) -> bool:
        if label is None or isinstance(label, Number):
            return True
        return self.labels is not None and (isinstance(label, bool) or _is_text(label))

    def _known(self, label: object) -> bool:
        """Tell whether the label is known, or raise if it never can be."""
        if self.labels is None or _label_text(label) in self.labels:
            return True
        if not self.open_labels or len(self.labels) >= self.most_labels:
            raise WrongError("unknown_label")
        return False

    def _time(self, ts: object, recorded_ms: int) -> int:
        if ts is None:
            stamp = recorded_ms if recorded_ms >= 0 else self.now_ms
        elif isinstance(ts, Number):
            if not ts.finite:
                raise WrongError("bad_timestamp")
            stamp = int(ts) if ts.whole else math.floor(float(ts))
        elif isinstance(ts, str):
            stamp = _epoch_ms(ts)
        else:
            raise WrongError("bad_timestamp")
        if not 0 <= stamp <= self.now_ms + DAY_MS:
            raise WrongError("bad_timestamp")
        return stamp


def _is_number(value: object) -> bool:
    return isinstance(value, Number)


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or isinstance(value, Number):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _double(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _label_text(label: object) -> str:
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, Number):
        return str(int(label) if label.whole else float(label))
    return str(label)


def _epoch_ms(text: str) -> int:
    match = TIME.fullmatch(text)
    if match is None:
        raise WrongError("bad_timestamp")
    *parts, fraction, sign, hours, minutes = match.groups()
    try:
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        at = datetime(*map(int, parts), tzinfo=timezone(offset))  # type: ignore[misc]
    except ValueError:
        raise WrongError("bad_timestamp") from None
    seconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * 1_000 + int((fraction or "").ljust(3, "0")[:3])


def _depth(text: str) -> int:
    """Return how deep arrays and objects are nested; of what is no JSON, something."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    deepest = depth = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
