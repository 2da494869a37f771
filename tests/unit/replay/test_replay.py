"""A replay: the very stages on a recording, every time the same, and a clear line for whatever a file may hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.configuration import load_settings
from service.errors import FreshetError, RoundFailedError, TableError
from service.replay import replay, rounds
from service.replay.decisions import DECISIONS
from service.replay.report import REPORT
from service.train.fit import train_round
from service.train.round import Outcome, Round

QUICK = (
    "trigger.every_events=50",
    "trigger.backoff_rounds=null",
    "trigger.on_drift=[]",
    "trigger.fall_alpha=null",
    "train.portfolio=[]",
    "train.first_steps=20",
    "train.steps=5",
    "train.batch_size=32",
    "train.model.hidden=[8]",
)
WALL_CLOCK = ("seconds", "events_per_second", "training_wall_seconds")

Rows = list[tuple[float, float, str]]
Replayed = Callable[..., tuple[dict[str, Any], list[str]]]


def rows_of(count: int, seed: int = 1) -> Rows:
    """Return events whose label is whether two numbers add up to more than one, turned round in the second half."""
    drawn = np.random.default_rng(seed).random((count, 2)).round(6).tolist()
    return [(a, b, "yes" if (a + b > 1) == (index < count / 2) else "no") for index, (a, b) in enumerate(drawn)]


def text_of(rows: Rows) -> str:
    """Return rows as CSV."""
    return "a,b,y\n" + "".join(f"{a},{b},{label}\n" for a, b, label in rows)


@pytest.fixture
def replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replayed:
    """Return a function that replays a text as a file and returns the summary, less wall-clock, and what was said."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *overrides: str, name: str = "a.csv", **options: Any) -> tuple[dict[str, Any], list[str]]:
        (tmp_path / name).write_text(text)
        said: list[str] = []
        settings = load_settings(None, (*QUICK, *overrides), {})
        result = replay(settings, tmp_path / name, **{"label": "y", "say": said.append, **options})
        assert all(result.pop(key) >= 0 for key in WALL_CLOCK)
        return result, said

    return run


def test_rounds_come_after_exactly_so_many_accepted_events(replayed: Replayed, tmp_path: Path) -> None:
    """50 are predicted, then learnt; held-out ones count, refused ones do not; the first checkpoint is no promotion."""
    rows = rows_of(220)
    lines = text_of(rows).splitlines()
    lines[40] = "1,many,yes"
    result, _ = replayed("\n".join(lines), "schema.numeric=[a, b]", out=tmp_path / "out")
    assert (result["events"], result["dead_lettered"], result["scored"]) == (220, 1, 219)
    entries = [json.loads(line) for line in (tmp_path / "out" / DECISIONS).read_text().splitlines()]
    begun = [entry for entry in entries if entry["kind"] in ("round", "rollback")]
    assert [entry["event"] for entry in begun] == [50, 100, 150, 200]
    assert [entry["data"][0]["last"] for entry in begun] == [50, 100, 150, 200], "one row was refused"
    assert begun[0]["reason"] == "first_checkpoint"
    assert begun[1]["at"] == "1970-01-01T00:00:00.101Z"
    counted = result["rounds"]
    assert counted["started"] == 4
    assert counted["promoted"] + counted["rejected"] + counted["rolled_back"] <= 3


def test_the_same_file_gives_the_same_answer(replayed: Replayed, tmp_path: Path) -> None:
    """Summary and decisions, but for the wall clock; and nothing is written but what was asked for."""
    text = text_of(rows_of(400))
    first, _ = replayed(text, out=tmp_path / "one")
    again, _ = replayed(text, out=tmp_path / "two")
    assert first == again
    told = [(tmp_path / name / DECISIONS).read_text().splitlines() for name in ("one", "two")]
    one, two = ([{**json.loads(line), "training_wall_seconds": 0} for line in lines] for lines in told)
    assert one == two
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "one", "two"}
    assert {path.name for path in (tmp_path / "one").iterdir()} == {DECISIONS, REPORT}


def test_figures_are_those_of_the_rows_that_count(replayed: Replayed, tmp_path: Path) -> None:
    """Learning is the same whichever rows count, so the parts add up to the whole."""
    text = text_of(rows_of(300))
    whole, _ = replayed(text)
    parts = []
    for name, mark in (("even", 0), ("odd", 1)):
        (tmp_path / name).write_text("".join(f"{int(index % 2 == mark)}\n" for index in range(300)))
        parts.append(replayed(text, score_only=tmp_path / name)[0])
    assert [part["scored"] for part in parts] == [150, 150]
    assert all(part["decisions"] == whole["decisions"] for part in parts)
    for key in ("accuracy", "loss"):
        for role, figure in whole[key].items():
            assert sum(part[key][role] for part in parts) / 2 == pytest.approx(figure, abs=1e-6)


def test_without_the_gate_every_round_is_published(replayed: Replayed) -> None:
    """Champion and ungated are the same then, and nothing is speculative."""
    result, _ = replayed(text_of(rows_of(400)), "gate.enabled=false")
    assert result["rounds"] == {"started": 8, "promoted": 7, "rejected": 0, "failed": 0, "rolled_back": 0}
    assert result["accuracy"]["champion"] == result["accuracy"]["ungated"]
    assert result["suspicions"] == {}


def test_a_failed_round_is_counted_and_the_replay_goes_on(replayed: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one comes after a pause of a second, as live, and takes the events of both."""

    def third_fails(given: Round) -> Outcome:
        if given.number == 3:
            raise RoundFailedError("the loss became nan", "not_finite")
        return train_round(given)

    monkeypatch.setattr(rounds, "train_round", third_fails)
    result, said = replayed(text_of(rows_of(400)), rate=50.0)
    assert result["rounds"]["failed"] == 1
    assert result["rounds"]["started"] == 7
    assert any("Rounds failed (1 not_finite)" in line for line in said)


def test_a_regression_tells_mae(replayed: Replayed) -> None:
    """In place of accuracy; the frozen model misses what has moved since."""
    text = "a,b,y\n" + "".join(f"{a},{b},{3 * a + b + i / 100}\n" for i, (a, b, _) in enumerate(rows_of(400)))
    result, said = replayed(text)
    assert "accuracy" not in result
    assert result["mae"]["champion"] < result["mae"]["frozen"]
    assert any("task regression" in line for line in said)


def test_events_bring_their_own_time(replayed: Replayed) -> None:
    """A minute apart, time calls for rounds sooner than events do."""
    rows = rows_of(120)
    text = "ts,a,b,y\n" + "".join(f"{1_700_000_000_000 + 60_000 * i},{a},{b},{y}\n" for i, (a, b, y) in enumerate(rows))
    result, _ = replayed(text)
    assert result["triggers"] == {"first_events": 1, "elapsed": 3}


def test_events_whole_in_json_lines_are_replayed_as_they_are(replayed: Replayed) -> None:
    """What they hold is judged as on the wire."""
    events = [{"features": {"a": a, "b": b}, "label": y} for a, b, y in rows_of(120)]
    lines = [json.dumps(event) for event in events]
    lines[7] = '{"features": {"a": NaN, "b": 1}, "label": "yes"}'
    lines[8] = '{"features": {"a": 1}, "label": "yes"}'
    result, _ = replayed("\n".join(lines), "schema.numeric=[a, b]", name="a.jsonl", label=None)
    assert result["dead_letters"] == {"missing_feature": 1, "not_finite": 1}
    assert result["rounds"]["started"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b,y\n", "has column names but no rows"),
        ("a,b\n1,2\n", "no column 'y' for --label; its columns are a, b"),
        ("y\nyes\nno\n", "no column but 'y' can be a feature"),
        ("a,b,y\n1,2,yes\n1,2\n", "line 3 has 2 cells"),
        ("a,b,y\n1,2,\n", "column 'y' is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(replayed: Replayed, text: str, words: str) -> None:
    """It names the file and what is wrong with it; nothing is half done."""
    with pytest.raises(TableError) as raised:
        replayed(text)
    assert words in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("{a},{b},yes", "has 1 label where two are needed"),
        ("1,2,{y}", "column 'a' is constant"),
        ("u{i},{b},{y}", "column 'a' looks like an identifier and is left out"),
        ("{i},{b},{y}", "column 'a' counts the rows, as an identifier does, and is left out"),
        ("{mixed},{b},{y}", "column 'a' holds numbers and texts such as 'n/a'"),
    ],
)
def test_an_odd_file_works_and_is_pointed_out(replayed: Replayed, cells: str, words: str) -> None:
    """Every event is predicted; the line says what is odd."""
    rows = enumerate(rows_of(120))
    lines = [cells.format(i=i, a=a, b=b, y=y, mixed="n/a" if i % 9 == 0 else a) for i, (a, b, y) in rows]
    result, said = replayed("a,b,y\n" + "\n".join(lines))
    assert any(words in line for line in said)
    assert result["scored"] == 120
    assert all(0 <= figure <= 1 for figure in result["accuracy"].values())


def test_three_rows_are_enough(replayed: Replayed, tmp_path: Path) -> None:
    """They are guessed, no round begins, and the report can be drawn all the same."""
    result, said = replayed("a,b,y\n1,2,yes\n2,1,no\n3,1,yes\n", out=tmp_path / "out")
    assert (result["scored"], result["rounds"]["started"]) == (3, 0)
    assert any("the recording has 3: lower `trigger.every_events`" in line for line in said)
    assert (tmp_path / "out" / REPORT).stat().st_size > 1_000_000


def test_a_label_that_comes_later_is_learnt_and_told(replayed: Replayed) -> None:
    """Also behind the rows that the schema is inferred from, and where there were two labels before it."""
    rows = [(a, b, "maybe" if index > 1_050 and index % 3 else y) for index, (a, b, y) in enumerate(rows_of(1_100))]
    result, said = replayed(text_of(rows), "trigger.every_events=500")
    assert result["dead_lettered"] == 0
    assert any("'y' has labels that come only after the first 1,000 rows: maybe" in line for line in said)


def test_a_label_that_was_not_named_is_dead_lettered(replayed: Replayed) -> None:
    """The line counts them and gives the very options with which they are learnt."""
    rows = [
        (a, b, "maybe" if index > 1_050 and index % 3 == 0 else y) for index, (a, b, y) in enumerate(rows_of(1_100))
    ]
    few = ("trigger.every_events=500",)
    result, said = replayed(text_of(rows), *few, 'schema.labels=["no", "yes"]')
    assert result["dead_letters"] == {"unknown_label": 16}
    (line,) = (line for line in said if "Labels that are not among" in line)
    assert "came with 16 events" in line
    named = ('schema.labels=["yes", "no", "maybe"]', "task=multiclass")
    assert all(option in line or option.replace('"yes", "no"', '"no", "yes"') in line for option in named)
    result, _ = replayed(text_of(rows), *few, *named)
    assert result["dead_lettered"] == 0


def test_a_cell_that_fits_no_more_is_dead_lettered(replayed: Replayed) -> None:
    """What the first rows did not show is refused with the reason that a live stream would give, and counted."""
    rows = text_of(rows_of(1_100)).splitlines()
    rows[1_050] = ",0.5,yes"  # no fault: what is missing anywhere in the file may be missing
    rows[1_060] = "many,0.5,yes"
    rows[1_070] = "0.5,0.5,"
    rows[1_080] = "inf,0.5,yes"
    result, said = replayed("\n".join(rows), "trigger.every_events=500")
    assert result["dead_letters"] == dict.fromkeys(("missing_label", "not_finite", "wrong_type"), 1)
    assert any("Dead-lettered, so never learnt: 3 of 1,100 events" in line for line in said)


def test_neither_label_nor_schema_is_wrong_use(replayed: Replayed) -> None:
    """There is nothing to tell features from."""
    with pytest.raises(FreshetError, match="no features are configured") as raised:
        replayed(text_of(rows_of(10)), label=None)
    assert raised.value.exit_code == 2


def test_a_folder_that_cannot_be_made_is_wrong_use(replayed: Replayed, tmp_path: Path) -> None:
    """It is said before anything is learnt."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(FreshetError, match=r"--out .*taken: cannot be written") as raised:
        replayed(text_of(rows_of(10)), out=tmp_path / "taken")
    assert raised.value.exit_code == 2


def test_without_plotly_decisions_are_written_and_one_line_says_what_to_install(
    replayed: Replayed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is an extra."""
    monkeypatch.setattr("service.replay.plotly_script", lambda: None)
    _, said = replayed(text_of(rows_of(60)), out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [DECISIONS]
    assert any("pip install plotly" in line for line in said)


def test_a_new_concept_behind_noise_is_published_at_once(replayed: Replayed, tmp_path: Path) -> None:
    """Under suspicion it is looked more often than every 100 events: its end brings a round of its own."""
    rows = rows_of(2_000)
    labels = np.random.default_rng(3).permutation([label for _, _, label in rows[600:1_000]]).tolist()
    noise = [(a, b, label) for (a, b, _), label in zip(rows[600:1_000], labels, strict=True)]
    told = text_of([*rows[:600], *noise, *rows[1_000:1_400]])
    more = ("trigger.every_events=100", "train.first_steps=200", "train.steps=30", "gate.suspicion_events=60")
    result, _ = replayed(told, *more, out=tmp_path / "out")
    assert (result["suspicions"]["entered"], result["suspicions"]["changed"]) == (1, 1)
    entries = [json.loads(line) for line in (tmp_path / "out" / DECISIONS).read_text().splitlines()]
    (ended,) = [one for one in entries if one.get("what") == "changed"]
    (begun,) = [one for one in entries if one.get("trigger") == "new_concept"]
    assert 1_000 < begun["event"] == ended["event"] < 1_100
    assert begun["decision"] == "promote"
    assert 340 <= ended["events_rolled_back"] <= 440


def test_categories_may_grow_one_after_the_other(replayed: Replayed) -> None:
    """Whichever feature outgrows its one-hot columns first, or grows on, no round fails for it."""
    drawn = np.random.default_rng(3)

    def row(index: int) -> str:
        late = drawn.integers(50 if index > 400 else 5)
        early, later = drawn.integers(40), drawn.integers(100 if index > 600 else 4)
        return f"a{early},b{late},c{later},{'yes' if (early + late) % 2 else 'no'}\n"

    text = "u,v,w,y\n" + "".join(row(index) for index in range(900))
    result, _ = replayed(text, "train.portfolio=null")
    assert (result["rounds"]["failed"], result["rounds"]["started"]) == (0, 18)


def test_a_column_that_comes_to_be_embedded_is_learnt_from(replayed: Replayed) -> None:
    """Its weights begin so that they have gradients."""
    drawn = np.random.default_rng(3)

    def row(index: int) -> str:
        code = drawn.integers(200 if index > 300 else 5)
        return f"c{code},{'yes' if code % 2 else 'no'}\n"

    text = "u,y\n" + "".join(row(index) for index in range(6_000))
    (folder := Path("mask.txt")).write_text("\n".join("01"[index >= 4_000] for index in range(6_000)))
    result, _ = replayed(text, "train.portfolio=null", "trigger.every_events=100", score_only=folder.resolve())
    assert result["accuracy"]["champion"] > 0.9
