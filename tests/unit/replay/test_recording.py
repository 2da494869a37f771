"""A recording as records: rows become what they would be on the wire, on a clock of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.records import Examples
from service.replay.recording import Clock, Recording, encoded
from service.settings import Settings
from service.tables import read_table


def at(*times_ms: int) -> Examples:
    """Return events of these times."""
    examples = Examples.empty(0, 0, len(times_ms))
    examples.timestamps_ms[:] = times_ms
    return examples


def test_without_ts_every_event_takes_its_share_of_a_second() -> None:
    """Four a second are 250 milliseconds apart, and the clock stands at the last of them."""
    clock = Clock(4.0)
    assert clock.pass_over([{}, {"ts": None}, {}]) == [250, 500, 750]
    clock.follow(at(250, 500, 750))
    assert clock.now_seconds == 0.75
    assert not clock.timed


def test_the_clock_follows_ts_and_never_goes_back() -> None:
    """Events bring the time with them; one that is late does not turn it back."""
    clock = Clock(1_000.0)
    assert clock.pass_over([{"ts": 5_000}]) == [0]
    clock.follow(at(5_000))
    clock.follow(at(1_000))
    assert clock.now_ms == 5_000
    assert clock.timed


def test_one_wild_time_does_not_carry_the_clock_away() -> None:
    """An event stamped years ahead among others leaves the clock where the others are."""
    clock = Clock(1_000.0)
    clock.follow(at(1_000, 2_000, 9_999_999_999, 3_000, 4_000))
    assert clock.now_ms == 3_000


def test_rows_are_numbered_from_zero_and_cut_as_asked(tmp_path: Path) -> None:
    """A row's offset is its place in the file; at the end there is nothing more."""
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,u\n2,d\n3,u\n")
    settings = Settings.model_validate({"schema": {"numeric": ["x"], "label": "y"}})
    recording = Recording(read_table(file), settings, Clock(1_000.0))
    first, second, third = recording.take(2), recording.take(2), recording.take(2)
    assert first is not None
    assert second is not None
    assert third is None
    assert (first.offsets.tolist(), second.offsets.tolist(), recording.rows) == ([0, 1], [2], 3)
    assert json.loads(second.values[0] or b"") == {"features": {"x": 3}, "label": "u"}
    assert np.array_equal(first.timestamps_ms, [1, 2])


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"features": {"x": float("nan")}}, b"NaN"),
        ({"features": {"x": float("inf")}}, b"Infinity"),
        ({"features": {"x": 10**400}}, b"0" * 400),
        ({"features": {"x": None}}, b"null"),
        ({"features": {"x": "null"}}, b'"null"'),
        ({"features": {"x": "\ud800"}}, b"\\ud800"),
        ({"features": {"x": Path("a")}}, b'"a"'),
    ],
)
def test_what_json_cannot_hold_goes_out_as_python_spells_it(event: dict[str, Any], told: bytes) -> None:
    """NaN is not null: ingest is to refuse it for what it is."""
    assert told in encoded(event)
