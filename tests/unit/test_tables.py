"""Data files become rows, and what is wrong with a file is said with its line."""

import gzip
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from service.errors import TableError
from service.tables import parse_number, read_table

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file and returns its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def rows(path: Path) -> list[dict[str, Any]]:
    """Return all rows' values."""
    return [row.values for row in read_table(path)]


def refusal(path: Path) -> str:
    """Return the one line that a file is refused with."""
    with pytest.raises(TableError) as caught:
        list(read_table(path))
    line = str(caught.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_csv_rows_are_text_by_column(write: Write) -> None:
    """Quoted commas and line ends, a byte order mark, Windows line ends and blank lines are all read as meant."""
    path = write("a.csv", '\ufeffx,"y, z",label\r\n1,"a, b",up\r\n\r\n2,"c\r\nd",down\r\n')
    assert read_table(path).columns == ("x", "y, z", "label")
    assert rows(path) == [{"x": "1", "y, z": "a, b", "label": "up"}, {"x": "2", "y, z": "c\r\nd", "label": "down"}]


def test_json_lines_keep_their_types_and_columns_are_all_first_keys(write: Write) -> None:
    """A key that only a later row has is a column too; blank lines are no rows."""
    path = write("a.jsonl", '{"x": 1, "label": "up"}\n\n{"x": null, "ok": true, "label": "down"}\n')
    assert read_table(path).columns == ("x", "label", "ok")
    assert rows(path) == [{"x": 1, "label": "up"}, {"x": None, "ok": True, "label": "down"}]


def test_whole_events_show_their_features_as_columns(write: Write) -> None:
    """A recorded event is flat to whoever asks for columns."""
    path = write("a.ndjson", '{"id": "1", "features": {"x": 1}, "label": "up"}\n')
    assert read_table(path).columns == ("x", "id", "label")


def test_parquet_rows_are_plain_values(tmp_path: Path) -> None:
    """Times become RFC 3339 in UTC, and nulls stay nulls."""
    path = tmp_path / "a.parquet"
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = {"x": [1.5, None], "n": [1, 2], "ok": [True, False], "at": [when, when], "label": ["up", "down"]}
    parquet.write_table(pa.table(table), path)
    assert read_table(path).columns == tuple(table)
    assert rows(path)[0] == {"x": 1.5, "n": 1, "ok": True, "at": "2026-01-02T03:04:05+00:00", "label": "up"}
    assert rows(path)[1]["x"] is None


@pytest.mark.parametrize(("name", "text"), [("a.csv.gz", "x,label\n1,up\n"), ("a.jsonl.gz", '{"x": 1}\n')])
def test_gzipped_text_is_read_like_plain_text(write: Write, name: str, text: str) -> None:
    """A file ending in .gz is decompressed on the way."""
    assert len(rows(write(name, gzip.compress(text.encode(), mtime=0)))) == 1


def test_a_table_can_be_read_twice_and_tells_how_far_it_is(write: Write) -> None:
    """Each iteration begins at the first row; the share read ends at 1."""
    table = read_table(write("a.csv", "x\n" + "1\n" * 5_000))
    first = [row.number for row in table]
    assert first == [row.number for row in table] == list(range(1, 5_001))
    assert table.share_read == 1.0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.csv", b"x,y\n", "no rows"),
        ("a.csv", b"1,2\n3,4\n", "no header"),
        ("a.csv", b",x\n0,1\n", "column 1 of the header has no name"),
        ("a.csv", b"x,x\n1,2\n", "'x' twice"),
        ("a.csv", b"x,y\n1,2\n3\n", "line 3 has 1 cell, but the header names 2 columns"),
        ("a.csv", b"x,y\n1,2,3\n", "line 2 has 3 cells"),
        ("a.csv", b'x,y\n1,"2\n', "is not valid CSV"),
        ("a.csv", b"x,y\n1,2\n\xff,4\n", "line 3 is not UTF-8"),
        ("a.csv.gz", b"x,y\n1,2\n", "not a whole gzip file"),
        ("a.csv.gz", gzip.compress(b"x,y\n" + b"1,2\n" * 999, mtime=0)[:-20], "not a whole gzip file"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b'{"x": 1}\n{"x": 1\n', "line 2 is not valid JSON"),
        ("a.jsonl", b'{"x": 1}\n\n[1]\n', "line 3 is no JSON object"),
        ("a.jsonl", b'{"x": 1}\n\xff\n', "line 2 is not UTF-8"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1 is not valid JSON"),
        ("a.parquet", b"no parquet", "not a readable Parquet file"),
        ("a.xlsx", b"PK", "unknown kind of file"),
        ("a", b"x\n1\n", "unknown kind of file"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(write: Write, name: str, content: bytes, words: str) -> None:
    """One line says what is wrong with the file and where."""
    assert words in refusal(write(name, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """What is no file is an error of use."""
    (tmp_path / "folder.csv").mkdir()
    for name in ("absent.csv", "absent.parquet"):
        assert "no such file" in refusal(tmp_path / name)
    assert "cannot be read" in refusal(tmp_path / "folder.csv")


def test_duplicate_columns_of_parquet_are_refused(tmp_path: Path) -> None:
    """Parquet can hold a name twice; which one is meant cannot be known."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), path)
    assert "'x' twice" in refusal(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading Parquet is an extra: its absence is said together with its remedy."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("-7", -7), (" 2.5 ", 2.5), ("1e3", 1000.0), ("+4", 4.0), ("9" * 30, 1e30), ("inf", math.inf)],
)
def test_text_that_spells_a_number_is_one(text: str, number: float) -> None:
    """Whole numbers stay whole, as long as they fit 64 bits."""
    assert parse_number(text) == number
    assert type(parse_number(text)) is type(number)


@pytest.mark.parametrize("text", ["", " ", "one", "1_000", "1,5", "0x10", "٣", "1 2"])
def test_other_text_is_no_number(text: str) -> None:
    """What only Python would read as a number is none."""
    assert parse_number(text) is None


@given(st.floats(allow_nan=False) | st.integers())
def test_every_number_is_read_back_as_it_is_printed(number: float) -> None:
    """Reading what Python or JSON prints gives the same number, up to double precision."""
    assert parse_number(repr(number)) == (number if abs(number) < 10**18 else float(number))
