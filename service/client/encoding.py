"""Turns what callers have at hand into JSON that says just that, or refuses and names the place.

Nothing is guessed: NaN is not quietly a missing value, a time without a zone no time.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from service.client.answers import Event
from service.client.errors import UnsendableError

TIME_KINDS = frozenset("mM")
"""numpy's letters for spans and points of time."""


class _UnfitError(Exception):
    """A value that cannot be sent; ``steps`` lead to it, the last one first."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.steps: list[str | int] = []


def encoded(key: str, items: Iterable[Any], *, first: int = 0, nan_is_missing: bool = False) -> bytes:
    """Return the body ``{key: [item, ...]}``.

    An item is a mapping, or an Event. Numbers may be numpy's or Decimal, arrays may be anything with ``tolist``, times
    are aware datetimes. ``first`` is the first item's index in what the caller has. Raises UnsendableError.
    """
    if isinstance(items, Mapping | str | bytes):
        raise UnsendableError(f"{key} must be a list; put a single one into a list, too")
    try:
        return msgspec.json.encode({key: _Plain(nan_is_missing=nan_is_missing).items(items)})
    except _UnfitError as error:
        *inner, index = error.steps
        raise UnsendableError(error.detail, pointer(key, first + int(index), *reversed(inner))) from None
    except RecursionError:
        raise UnsendableError(f"{key} are nested too deeply, or within themselves") from None


def in_batches(items: Iterable[Any], batch_size: int) -> Iterable[tuple[int, list[Any]]]:
    """Yield the index of each batch's first item and the batch, as they are asked for; raises ValueError."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least 1 is needed")
    source, first = iter(items), 0
    while batch := list(islice(source, batch_size)):
        yield first, batch
        first += len(batch)


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer of a place."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


class _Plain:
    """Makes values plain, and counts the steps back from one that cannot be."""

    def __init__(self, *, nan_is_missing: bool) -> None:
        self._nan_is_missing = nan_is_missing

    def items(self, values: Iterable[Any]) -> list[dict[str, Any]]:
        found = []
        for index, value in enumerate(values):
            try:
                found.append(self._mapping(_fields(value)))
            except _UnfitError as error:
                error.steps.append(index)
                raise
        return found

    def _mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            if not isinstance(key, str):
                raise _UnfitError(f"names must be text, not {_kind(key)}: {str(key)[:50]!r}")
            try:
                found[_text(key)] = self._value(value)
            except _UnfitError as error:
                error.steps.append(key)
                raise
        return found

    def _list(self, values: Iterable[Any]) -> list[Any]:
        found = []
        for index, value in enumerate(values):
            try:
                found.append(self._value(value))
            except _UnfitError as error:
                error.steps.append(index)
                raise
        return found

    def _value(self, value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
        kind = type(value)
        if kind is float or kind is int:
            return value if _finite(value) else self._not_finite(value)
        if kind is str:
            return _text(value)
        if value is None or kind is bool:
            return value
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return self._list(value)
        return self._value(_converted(value))

    def _not_finite(self, value: float) -> None:
        is_nan = isinstance(value, float) and math.isnan(value)
        if is_nan and self._nan_is_missing:
            return
        if is_nan:
            raise _UnfitError("NaN is no number; None says that a value is missing, and with nan_is_missing NaN does")
        raise _UnfitError("infinite, or too large for a double")


def _fields(item: object) -> Mapping[Any, Any]:
    if isinstance(item, Event):
        return {key: value for key, value in msgspec.structs.asdict(item).items() if value is not None}
    if not isinstance(item, Mapping):
        raise _UnfitError(f"a mapping of names to values is needed, not {_kind(item)}")
    return item


def _converted(value: Any) -> Any:  # noqa: ANN401
    """Return a value of a kind near to JSON as one that is."""
    for kind in (str, float, int):  # an enumeration's member, or numpy's float64
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _UnfitError(f"a time without a zone: {value}; give it one, such as datetime.UTC")
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else math.nan
    if getattr(getattr(value, "dtype", None), "kind", "") in TIME_KINDS:
        raise _UnfitError("numpy's times have no zone; give an aware datetime")
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, tensors, columns: whatever holds plain values
        return value.tolist()
    raise _UnfitError(f"JSON has no form for {_kind(value)}")


def _text(value: str) -> str:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise _UnfitError("holds half a surrogate pair, which is not text")
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond a double's range
        return False


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
