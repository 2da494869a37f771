"""What a configuration is guessed from: kinds of features, the task, and doubts that are said."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import TableError
from service.schema_inference import INFERRED_ROWS, Inference, infer
from service.settings import Settings, Task
from service.table_events import to_event
from service.tables import read_table


def inferred(tmp_path: Path, columns: dict[str, list[str]], task: Task | None = None) -> Inference:
    """Infer from a CSV file with these columns, the label in ``y``."""
    path = tmp_path / "a.csv"
    lines = [",".join(columns), *(",".join(cells) for cells in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return infer(read_table(path), "y", task)


def numbers(count: int) -> list[str]:
    """Return different real numbers as text."""
    return [str(index / 7) for index in range(count)]


def test_kinds_follow_the_values(tmp_path: Path) -> None:
    """Numbers are numeric, true and false boolean, other text categorical, and empty cells make nullable."""
    result = inferred(
        tmp_path,
        {
            "n": ["1", "2.5", "", "-3e2"],
            "b": ["true", "FALSE", "true", "false"],
            "yn": ["yes", "no", "no", ""],
            "c": ["a", "b", "a", "1"],
            "zero_one": ["0", "1", "0", "1"],
            "y": ["u", "d", "u", "d"],
        },
    )
    assert result.schema.numeric == ("n", "zero_one")
    assert result.schema.boolean == ("b", "yn")
    assert result.schema.categorical == ("c",)
    assert result.schema.nullable == ("n", "yn")
    assert result.rows == 4


def test_a_zero_before_the_point_is_no_leading_zero(tmp_path: Path) -> None:
    """0, -0, 0.5 and -0.5 are quantities like others."""
    result = inferred(tmp_path, {"x": ["0", "-0", "0.5", "-0.5"], "y": ["u", "d", "u", "d"]})
    assert result.schema.numeric == ("x",)
    assert result.warnings == ()


def test_json_lines_keep_the_kinds_of_the_wire(tmp_path: Path) -> None:
    """A number in quotes is text on the wire, so it is categorical; null and an absent key are missing."""
    path = tmp_path / "a.jsonl"
    lines = [
        {"q": "5", "n": 1, "b": True, "s": "yes", "y": "u"},
        {"q": "6", "n": None, "b": False, "s": "no", "y": "d"},
        {"q": "5", "n": 3, "b": True, "y": "u", "o": {"k": 1}},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = infer(read_table(path), "y")
    assert result.schema.categorical == ("q", "s")
    assert result.schema.numeric == ("n",)
    assert result.schema.boolean == ("b",)
    assert result.schema.nullable == ("n", "s")
    assert any("'o' holds lists or objects" in warning for warning in result.warnings)


def test_lists_of_equally_many_numbers_are_vectors(tmp_path: Path) -> None:
    """In JSON Lines an array is one, in CSV a cell that spells one; a text of JSON Lines stays text."""
    path = tmp_path / "a.jsonl"
    lines = [{"v": [1, 2.5], "s": "[1, 2]", "y": "u"}, {"v": None, "s": "[1, 2]", "y": "d"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = infer(read_table(path), "y")
    assert (result.schema.vector, result.schema.nullable) == ({"v": 2}, ("v",))
    assert result.schema.categorical == ("s",)
    rows = inferred(tmp_path, {"v": ['"[1, 2]"', '"[3,4.5]"', '"[0, 0]"'], "x": numbers(3), "y": ["u", "d", "u"]})
    assert (rows.schema.vector, rows.schema.numeric) == ({"v": 2}, ("x",))


def test_a_list_column_of_parquet_is_a_vector(tmp_path: Path) -> None:
    """Of floats or of integers, missing in some rows; it becomes the event's array."""
    columns = {"v": [[1.5, 2.0], None, [0.0, -1.0]], "n": [[1], [2], [3]], "y": ["u", "d", "u"]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    result = infer(table, "y")
    assert (result.schema.vector, result.schema.nullable) == ({"v": 2, "n": 1}, ("v",))
    settings = Settings.model_validate({"task": result.task, "schema": result.schema.model_dump()})
    assert [to_event(row, settings)["features"] for row in table] == [
        {"v": [1.5, 2.0], "n": [1]},
        {"n": [2]},
        {"v": [0.0, -1.0], "n": [3]},
    ]


@pytest.mark.parametrize("values", [[[1, 2], [3]], [[1], ["a"]], [[], []], [[True], [False]], [[[1]], [[2]]]])
def test_other_lists_are_no_vectors(tmp_path: Path, values: list[Any]) -> None:
    """What differs in length, is empty, or holds anything but numbers is left out, and the warning says why."""
    path = tmp_path / "a.jsonl"
    lines = [{"x": 1, "v": value, "y": label} for value, label in zip(values, "ud", strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = infer(read_table(path), "y")
    assert result.schema.vector == {}
    assert any("'v' holds lists or objects" in warning and "equally many" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("labels", "task", "listed"),
    [
        (["u", "d"] * 10, "binary", ("u", "d")),
        (["1", "0"] * 10, "binary", ("1", "0")),
        (["01", "02"] * 10, "binary", ("01", "02")),
        (["a", "b", "c", "a"] * 5, "multiclass", ("a", "b", "c")),
        (["1", "2", "3", "1"] * 5, "multiclass", ("1", "2", "3")),
        ([f"{index % 11:02}" for index in range(20)], "multiclass", tuple(f"{index:02}" for index in range(11))),
        (numbers(20), "regression", ()),
        ([str(index) for index in range(20)], "regression", ()),
        (["0.5", "1.5", "2.5", "0.5"] * 5, "regression", ()),
    ],
)
def test_the_task_follows_the_label(tmp_path: Path, labels: list[str], task: str, listed: tuple[str, ...]) -> None:
    """Two labels are binary, texts and few whole numbers multiclass, other numbers a regression."""
    result = inferred(tmp_path, {"x": numbers(20), "y": labels})
    assert (result.task, result.schema.labels) == (task, listed)


def test_a_given_task_is_not_guessed(tmp_path: Path) -> None:
    """Whoever knows better says so: three whole numbers can be quantities."""
    columns = {"x": numbers(20), "y": ["1", "2", "3", "1"] * 5}
    assert inferred(tmp_path, columns, "regression").schema.labels == ()
    binary = inferred(tmp_path, columns, "binary")
    assert binary.schema.labels == ()
    assert any("3 labels, too many for binary" in warning for warning in binary.warnings)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("customer", [f"c{index}" for index in range(20)]),
        ("ID", ["1", "2"] * 10),
        ("id", [str(index) for index in range(20)]),
        ("ts", ["1700000000000"] * 20),
        ("blank", [""] * 20),
    ],
)
def test_what_is_no_feature_is_left_out_with_a_warning(tmp_path: Path, name: str, cells: list[str]) -> None:
    """Identifiers, the event's own keys and empty columns are named and not learnt from."""
    result = inferred(tmp_path, {"x": numbers(20), name: cells, "y": ["u", "d"] * 10})
    assert result.schema.names == ("x",)
    assert any(repr(name) in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("cells", "words", "kind"),
    [
        (["5"] * 20, "constant ('5')", "numeric"),
        (["1.5", "NA"] + ["2"] * 18, "texts such as 'NA'", "categorical"),
        (["1234", "01234"] * 10, "a leading zero such as '01234'", "categorical"),
        (["7", "-07"] + ["NA"] * 18, "a leading zero such as '-07'", "categorical"),
        (["1.5", "nan"] + ["2"] * 18, "NaN or infinity", "numeric"),
    ],
)
def test_doubts_about_a_feature_are_said(tmp_path: Path, cells: list[str], words: str, kind: str) -> None:
    """The column is kept, and the user is told what to look at."""
    result = inferred(tmp_path, {"x": cells, "y": ["u", "d"] * 10})
    assert getattr(result.schema, kind) == ("x",)
    assert any(words in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["u"] * 20, "the one label 'u'"),
        (["u", ""] * 10, "10 rows have no 'y'"),
        ([f"l{index}" for index in range(20)], "another label in every row"),
    ],
)
def test_doubts_about_the_label_are_said(tmp_path: Path, labels: list[str], words: str) -> None:
    """A label that can hardly be meant is still taken, with a warning."""
    assert any(words in warning for warning in inferred(tmp_path, {"x": numbers(20), "y": labels}).warnings)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": ["1", "2"]}, "no column 'y' for --label; its columns are x"),
        ({"x": ["1", "2"], "y": ["", ""]}, "column 'y' is empty"),
        ({"id": ["1", "2"], "y": ["u", "d"]}, "no column but 'y' can be a feature"),
    ],
)
def test_a_file_that_nothing_can_be_learnt_from_is_refused(
    tmp_path: Path, columns: dict[str, list[str]], words: str
) -> None:
    """Without label or features there is no schema."""
    with pytest.raises(TableError) as caught:
        inferred(tmp_path, columns)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("early", "late", "task", "labels"),
    [
        (["1", "2"], ["7", "7", "7"], "multiclass", ("1", "2", "7")),
        (["a", "a"], ["b", "", "b", "b", "n/a"], "binary", ("a", "b")),
        (["0", "1"], [str(index) for index in range(40)], "binary", ("0", "1")),
        (["0.5", "1.5", "2.5"], ["a", "b"], "regression", ()),
    ],
)
def test_a_class_that_comes_late_is_a_class(
    tmp_path: Path, early: list[str], late: list[str], task: str, labels: tuple[str, ...]
) -> None:
    """Labels behind the first thousand rows count, are told, and may make the task another; single slips do not."""
    first = (early * INFERRED_ROWS)[:INFERRED_ROWS]
    result = inferred(tmp_path, {"x": numbers(INFERRED_ROWS + len(late)), "y": [*first, *late]})
    assert (result.task, result.schema.labels) == (task, labels)
    assert any("come only after the first 1,000 rows" in line for line in result.warnings) == (early[0] in ("1", "a"))


@pytest.mark.parametrize("cell", ["", " "])
def test_a_feature_that_is_missing_late_may_be_missing(tmp_path: Path, cell: str) -> None:
    """A cell left empty behind the first thousand rows is no reason to refuse its event, in a regression neither."""
    count = INFERRED_ROWS + 2
    columns = {"x": numbers(count), "z": [*numbers(count - 1), cell], "y": [str(one * 0.37) for one in range(count)]}
    result = inferred(tmp_path, columns)
    assert (result.task, result.schema.nullable) == ("regression", ("z",))


def test_a_key_that_is_missing_late_may_be_missing(tmp_path: Path) -> None:
    """Another key in its place hides nothing."""
    path = tmp_path / "a.jsonl"
    rows = ['{"x": 1, "z": 2, "y": "u"}', '{"x": 2, "z": 1, "y": "d"}'] * (INFERRED_ROWS // 2)
    path.write_text("\n".join([*rows, '{"x": 3, "w": 4, "y": "u"}']))
    assert infer(read_table(path), "y").schema.nullable == ("z",)


def test_only_the_first_thousand_rows_are_looked_at(tmp_path: Path) -> None:
    """For features; and a fault far down the file costs nothing here."""
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "1,u\n2,d\n" * (INFERRED_ROWS // 2) + "ragged\n")
    assert infer(read_table(path), "y").rows == INFERRED_ROWS


def test_a_column_that_counts_the_rows_is_no_feature(tmp_path: Path) -> None:
    """It is said; whole numbers that leave one out, or come in another order, stay features."""
    counting = [str(number) for number in range(7, 27)]
    skipping = [*counting[:-1], "99"]
    result = inferred(tmp_path, {"n": counting, "m": skipping, "x": counting[::-1], "y": ["u", "d"] * 10})
    assert result.schema.numeric == ("m", "x")
    assert result.warnings == ("column 'n' counts the rows, as an identifier does, and is left out",)
