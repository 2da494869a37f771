"""Makes an event of a data file's row: text gets the schema's types, columns without a meaning are left out."""

import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from service.errors import TableError
from service.settings import Settings, label_text
from service.tables import Row, Table, is_missing, listed, parse_number

PASSED_ON = ("id", "ts")
ABSENT = object()
"""In the place of a missing value, whose key an event leaves out."""

BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}

logger = structlog.get_logger(__name__)


def check_columns(table: Table, settings: Settings) -> None:
    """Raise TableError unless the table has the label and every feature; warn once of columns that are left out.

    In JSON Lines a nullable feature may be absent, and whole events are not looked at: ingest judges them.
    """
    first = next(iter(table))
    if first.is_event:
        return
    schema = settings.schema_
    optional = set(schema.nullable) if first.wire else set()
    for name in (schema.label, *schema.names):
        if name not in table.columns and name not in optional:
            key = "schema.label" if name == schema.label else "a feature of the schema"
            raise TableError(f"{table.path}: no column {name!r} ({key}); its columns are {listed(table.columns)}")
    known = {schema.label, *schema.names, *PASSED_ON}
    strangers = [name for name in table.columns if name not in known]
    if strangers:
        logger.warning("columns are not in the schema and left out", columns=listed(strangers), file=str(table.path))


def to_event(row: Row, settings: Settings) -> dict[str, Any]:
    """Return a row as an event, ``{"id"?, "ts"?, "features", "label"?}``; a missing value's key is left out.

    A value that does not fit its feature's kind stays as it is, so that ingest refuses it with the reason. Whole
    events and the values of JSON Lines pass unchanged.
    """
    if row.is_event:
        return dict(row.values)
    schema = settings.schema_
    event: dict[str, Any] = {}
    own = {*schema.names, schema.label}
    if "id" not in own:
        _take(event, "id", row, "id", label_text)
    if "ts" not in own:
        _take(event, "ts", row, "ts", _number)  # epoch milliseconds; RFC 3339 stays text
    features: dict[str, Any] = {}
    for name in schema.numeric:
        _take(features, name, row, name, _number)
    for name in schema.boolean:
        _take(features, name, row, name, _boolean)
    for name in schema.vector:
        _take(features, name, row, name, vector)
    for name in schema.categorical:
        _take(features, name, row, name, label_text)
    event["features"] = features
    _take(event, "label", row, schema.label, _number if settings.task == "regression" else label_text)
    return event


def to_events(rows: Sequence[Row], settings: Settings) -> list[dict[str, Any]]:
    """Return rows of one file as ``to_event`` would, several times faster: column by column where all cells are alike.

    Numbers may be floats where ``to_event`` has integers of the same value.
    """
    if not rows or rows[0].wire or settings.schema_.vector:
        return [to_event(row, settings) for row in rows]
    schema = settings.schema_
    columns = [_numbers(rows, name) for name in schema.numeric]
    columns += [_cells(rows, name, _boolean) for name in schema.boolean]
    columns += [_cells(rows, name, vector) for name in schema.vector]
    columns += [_texts(rows, name) for name in schema.categorical]
    names = schema.names
    whole = not any(ABSENT in column for column in columns)
    own = {*names, schema.label}
    outer = {
        "label": _cells(rows, schema.label, _number) if settings.task == "regression" else _texts(rows, schema.label)
    }
    outer |= {"id": _texts(rows, "id")} if "id" not in own and "id" in rows[0].values else {}
    outer |= {"ts": _cells(rows, "ts", _number)} if "ts" not in own and "ts" in rows[0].values else {}
    events = []
    for values, others in zip(zip(*columns, strict=True), zip(*outer.values(), strict=True), strict=True):
        pairs = zip(names, values, strict=True)
        features = dict(pairs) if whole else {name: value for name, value in pairs if value is not ABSENT}
        event = {key: value for key, value in zip(outer, others, strict=True) if value is not ABSENT}
        events.append({**event, "features": features})
    return events


def vector(value: Any) -> Any:  # noqa: ANN401 - a cell may hold anything
    """Return a cell's list: a JSON array as text becomes one, all else stays as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _numbers(rows: Sequence[Row], column: str) -> list[Any]:
    """Return a numeric column's values; ABSENT where one is missing."""
    cells = [row.values.get(column) for row in rows]
    kinds = set(map(type, cells))
    if kinds <= {int, float}:
        return cells
    if kinds == {str}:
        text = "".join(cells)  # type: ignore[arg-type]  # they are all text
        if text.isascii() and "_" not in text:  # as parse_number wants it
            with contextlib.suppress(ValueError):
                return list(map(float, cells))  # type: ignore[arg-type]
    return _cells(rows, column, _number)


def _texts(rows: Sequence[Row], column: str) -> list[Any]:
    """Return a text column's values; ABSENT where one is missing."""
    cells = [row.values.get(column) for row in rows]
    if set(map(type, cells)) == {str} and all(map(str.strip, cells)):  # type: ignore[arg-type]
        return cells
    return _cells(rows, column, label_text)


def _cells(rows: Sequence[Row], column: str, convert: Callable[[Any], Any]) -> list[Any]:
    cells = [(row.values.get(column), row) for row in rows]
    return [ABSENT if is_missing(value, row) else convert(value) for value, row in cells]


def _take(into: dict[str, Any], key: str, row: Row, column: str, convert: Callable[[Any], Any]) -> None:
    value = row.values.get(column)
    if is_missing(value, row):
        return
    into[key] = value if row.wire else convert(value)


def _number(value: Any) -> Any:  # noqa: ANN401 - a cell may hold anything
    number = parse_number(value) if isinstance(value, str) else None
    return value if number is None else number


def _boolean(value: Any) -> Any:  # noqa: ANN401 - a cell may hold anything
    return BOOLEANS.get(str(value).strip().lower(), value)
