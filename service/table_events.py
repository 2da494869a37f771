"""Makes an event of a data file's row: text gets the schema's types, columns without a meaning are left out."""

from collections.abc import Callable
from typing import Any

import structlog

from service.errors import TableError
from service.settings import Settings, label_text
from service.tables import Row, Table, is_missing, listed, parse_number

PASSED_ON = ("id", "ts")
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
    for name in schema.categorical:
        _take(features, name, row, name, label_text)
    event["features"] = features
    _take(event, "label", row, schema.label, _number if settings.task == "regression" else label_text)
    return event


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
