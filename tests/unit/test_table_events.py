"""Rows of data files become events: what text means, what is left out, and what is left to ingest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.errors import TableError
from service.settings import Settings
from service.table_events import check_columns, to_event, to_events
from service.tables import Row, Table, read_table

NAN = float("nan")

Opened = Callable[[str, str], Table]


def settings(task: str = "binary", **schema: Any) -> Settings:
    """Return settings with a schema."""
    return Settings.model_validate({"task": task, "schema": schema})


@pytest.fixture
def open_table(tmp_path: Path) -> Opened:
    """Return a function that writes a file and opens it as a table."""

    def opened(name: str, text: str) -> Table:
        path = tmp_path / name
        path.write_text(text)
        return read_table(path)

    return opened


SCHEMA = {"numeric": ["n"], "categorical": ["c"], "boolean": ["b"], "nullable": ["c"], "label": "y"}


def event(row: dict[str, Any], *, wire: bool = False, task: str = "binary") -> dict[str, Any]:
    """Return one row as an event."""
    return to_event(Row(1, row, wire=wire), settings(task, **SCHEMA))


def test_text_gets_the_types_of_the_schema() -> None:
    """A CSV row becomes an event with numbers, booleans and text; id and ts are passed on, the rest left out."""
    row = {"id": "7", "ts": "1700000000000", "n": "1.5", "c": "5", "b": "Yes", "y": "1", "note": "hm"}
    assert event(row) == {
        "id": "7",
        "ts": 1_700_000_000_000,
        "features": {"n": 1.5, "c": "5", "b": True},
        "label": "1",
    }


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("[1, 2.5]", [1, 2.5]),
        (" [3,4]", [3, 4]),
        ([1.0, 2.0], [1.0, 2.0]),
        ("[1, 2", "[1, 2"),
        ("1, 2", "1, 2"),
        ("[1, NaN]", [1, NAN]),
    ],
)
def test_a_vector_is_a_json_array_in_a_cell(cell: object, value: object) -> None:
    """CSV spells it, Parquet has a list; what is no array stays as it is, for ingest to refuse."""
    of_vectors = settings(vector={"v": 2}, nullable=["v"], label="y")
    row = Row(1, {"v": cell, "y": "1"}, wire=False)
    assert str(to_event(row, of_vectors)) == str({"features": {"v": value}, "label": "1"})
    empty = Row(2, {"v": "", "y": "1"}, wire=False)
    assert [one["features"] for one in to_events([row, empty], of_vectors)][1] == {}
    assert str(to_events([row, empty], of_vectors)[0]["features"]) == str({"v": value})


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("1", True), ("0", False), ("yes", True), ("No", False), ("maybe", "maybe")],
)
def test_booleans_are_read_in_their_usual_spellings(text: str, value: object) -> None:
    """Another word is kept, for ingest to refuse."""
    assert event({"n": "1", "b": text, "y": "a"})["features"]["b"] == value


def test_empty_cells_are_missing_and_unfitting_ones_are_kept() -> None:
    """A missing value's key is left out; what cannot be converted stays, so that its refusal is seen."""
    assert event({"n": "many", "c": "", "b": " ", "y": ""}) == {"features": {"n": "many"}}


def test_json_values_pass_unchanged() -> None:
    """The types of JSON Lines are those of the wire: a number in quotes is not turned into a number."""
    row = {"n": "5", "c": "", "b": 1, "y": 3, "ts": "2026-01-01T00:00:00Z"}
    assert event(row, wire=True) == {
        "ts": "2026-01-01T00:00:00Z",
        "features": {"n": "5", "c": "", "b": 1},
        "label": 3,
    }
    assert event({"n": None, "y": None}, wire=True) == {"features": {}}


def test_whole_events_pass_unchanged() -> None:
    """What has features is an event already, right or wrong."""
    whole = {"id": 5, "features": [1], "extra": None}
    assert event(whole, wire=True) == whole


def test_typed_columns_of_parquet_fit_the_schema() -> None:
    """Whole numbers can be categories, booleans and labels."""
    assert event({"n": 2, "c": 7, "b": 0, "y": True}) == {
        "features": {"n": 2, "c": "7", "b": False},
        "label": "true",
    }


def test_the_label_of_a_regression_is_a_number() -> None:
    """The label's text is read as a number, and kept where it is none."""
    assert event({"n": "1", "y": "2.5"}, task="regression")["label"] == 2.5
    assert event({"n": "1", "y": "much"}, task="regression")["label"] == "much"


def test_columns_named_id_and_ts_can_be_features() -> None:
    """A feature called ts is no time, and a label called id no identity."""
    taken = settings(numeric=["ts"], label="id")
    assert to_event(Row(1, {"ts": "5", "id": "a"}, wire=False), taken) == {"features": {"ts": 5}, "label": "a"}


@pytest.mark.parametrize(
    ("header", "words"), [("n,c,b", "no column 'y' (schema.label)"), ("n,b,y", "no column 'c'"), ("a,b", "are a, b")]
)
def test_a_missing_column_is_named_beside_those_there_are(open_table: Opened, header: str, words: str) -> None:
    """Label and features must all be columns of the file."""
    table = open_table("a.csv", header + "\n" + ",".join("1" * len(header.split(","))) + "\n")
    with pytest.raises(TableError) as caught:
        check_columns(table, settings(**SCHEMA))
    assert words in str(caught.value)


def test_a_nullable_feature_may_be_absent_in_json_lines(open_table: Opened) -> None:
    """There an absent key is how missing is written."""
    check_columns(open_table("a.jsonl", '{"n": 1, "b": true, "y": "a"}\n'), settings(**SCHEMA))
    with pytest.raises(TableError, match="no column 'b'"):
        check_columns(open_table("a.jsonl", '{"n": 1, "c": "x", "y": "a"}\n'), settings(**SCHEMA))


def test_whole_events_are_left_to_ingest(open_table: Opened) -> None:
    """A recording may hold faulty events on purpose: they are sent, and refused with their reasons."""
    check_columns(open_table("a.jsonl", json.dumps({"features": {}}) + "\n"), settings(**SCHEMA))


def test_columns_without_a_meaning_are_named_once(open_table: Opened) -> None:
    """Columns that are neither feature, label, id nor ts are left out with one warning."""
    table = open_table("a.csv", "id,ts,n,c,b,y,note,mood\n1,2,3,4,1,a,b,c\n")
    with structlog.testing.capture_logs() as logs:
        check_columns(table, settings(**SCHEMA))
    assert [entry["columns"] for entry in logs] == ["note, mood"]


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize(
    "cells",
    [
        {"n": ["1.5", "2", "-3e5"], "c": ["a", "b", "5"], "b": ["yes", "0", "TRUE"], "y": ["1", "2", "3"]},
        {"n": ["1.5", "", "  "], "c": ["a", " ", ""], "b": ["", "maybe", "no"], "y": ["u", "", "d"]},
        {"n": ["nan", "many", "1_000"], "c": ["a", "\u00e9", "x"], "b": ["1", "2", "3"], "y": ["1e400", "inf", "-0"]},
        {"n": ["9007199254740993", " 7 ", "\u0663"], "c": ["a"] * 3, "b": ["no"] * 3, "y": ["1"] * 3},
        {"n": [1.5, 2, None], "c": ["a", 5, None], "b": [True, False, 1], "y": [1, 2.5, "x"]},
        {"n": [True, 1, 2], "c": [1, True, 2.5], "b": ["yes", None, True], "y": [True, False, True]},
        {"id": ["1", "", "x"], "ts": ["5", "2020-01-01T00:00:00Z", ""], "n": ["1"] * 3, "c": ["a"] * 3, "b": ["1"] * 3},
    ],
)
def test_rows_together_become_what_they_are_one_by_one(cells: dict[str, list[Any]], task: str) -> None:
    """Column by column is only faster, whatever the cells hold."""
    rows = [
        Row(number, dict(zip(cells, values, strict=True)), wire=False)
        for number, values in enumerate(zip(*cells.values(), strict=True), start=1)
    ]
    made = to_events(rows, settings(task, **SCHEMA))
    alone = [to_event(row, settings(task, **SCHEMA)) for row in rows]
    assert [plain(event) for event in made] == [plain(event) for event in alone]


def plain(event: dict[str, Any]) -> str:
    """Return an event as JSON that tells NaN, true and 1 apart, and 1 from 1.0 not."""
    features = {
        name: float(value) if type(value) is int else value for name, value in sorted(event["features"].items())
    }
    return json.dumps({**event, "features": features}, sort_keys=True)
