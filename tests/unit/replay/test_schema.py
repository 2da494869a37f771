"""The schema of a recording: configured, or inferred where only the label is named."""

from pathlib import Path
from typing import Any

import pytest

from service.errors import ConfigurationError, TableError
from service.replay.schema import schema_lines, settle_schema
from service.settings import Settings
from service.tables import Table, read_table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Return a table of two numbers, a word and an outcome."""
    rows = "".join(f"{index},{index / 3},{'ab'[index % 2]},{'ud'[index % 2]}\n" for index in range(30))
    (tmp_path / "a.csv").write_text("n,x,c,y\n" + rows)
    return read_table(tmp_path / "a.csv")


def settings(**tree: Any) -> Settings:
    """Return settings from plain values."""
    return Settings.model_validate(tree)


def test_a_label_alone_is_enough(table: Table) -> None:
    """The rest comes from the first rows, and is told with what was unsure."""
    settled, inference = settle_schema(settings(), table, "y")
    assert settled.schema_.numeric == ("x",)
    assert settled.schema_.labels == ("u", "d")
    assert inference is not None
    lines = schema_lines(settled, inference)
    assert "task binary; label y; numeric [x]; categorical [c]; labels [u, d]" in lines[0]
    assert any("'n' counts the rows" in line for line in lines[1:])


def test_a_thousand_columns_are_not_all_named(tmp_path: Path) -> None:
    """The line about them stays one that can be read."""
    names = [f"x{index}" for index in range(1_000)]
    rows = "".join(
        ",".join([*(str(row + index / 7) for index in range(1_000)), "ud"[row % 2]]) + "\n" for row in range(9)
    )
    (tmp_path / "wide.csv").write_text(",".join([*names, "y"]) + "\n" + rows)
    settled, inference = settle_schema(settings(), read_table(tmp_path / "wide.csv"), "y")
    assert inference is not None
    assert len(settled.schema_.numeric) > 900
    told = schema_lines(settled, inference)[0]
    assert "x1, x2" in told
    assert "more …, x999]" in told
    assert len(told) < 600


def test_what_is_configured_of_an_inferred_schema_stays(table: Table) -> None:
    """Labels that the first rows lack, and the task, are the user's to say."""
    given = settings(task="multiclass", schema={"labels": ["u", "d", "late"]}, window={"events": 77})
    settled, _ = settle_schema(given, table, "y")
    assert settled.task == "multiclass"
    assert settled.schema_.labels == ("u", "d", "late")
    assert settled.schema_.numeric == ("x",)
    assert settled.window.events == 77


def test_a_configured_schema_is_taken_and_the_label_names_the_column(table: Table) -> None:
    """Nothing is inferred then."""
    settled, inference = settle_schema(settings(schema={"numeric": ["x"], "label": "z"}), table, "y")
    assert inference is None
    assert (settled.schema_.numeric, settled.schema_.label) == (("x",), "y")


def test_neither_schema_nor_label_is_a_wrong_configuration(table: Table) -> None:
    """The line says how to get one."""
    with pytest.raises(ConfigurationError, match="no features are configured"):
        settle_schema(settings(), table, None)


def test_a_label_that_is_no_column_is_named(table: Table) -> None:
    """So are the columns there are."""
    with pytest.raises(TableError, match="no column 'z' for --label; its columns are n, x, c, y"):
        settle_schema(settings(), table, "z")
