"""The figures of a replay: sums by role, over the events that count."""

from typing import Any

import numpy as np
import pytest

from service.records import Examples, Scores
from service.replay.tally import Tally


def scores(*errors: float) -> Scores:
    """Return scores whose losses are twice their errors."""
    column = np.array(errors, dtype=np.float64)
    return Scores(2 * column, column)


def scored(tally: Tally, **roles: Scores) -> None:
    """Let a tally see events as the learner tells them."""
    tally.scored(Examples.empty(0, 0, len(roles["baseline"])), dict(roles))


def test_before_the_first_checkpoint_every_role_guesses() -> None:
    """Those events count; afterwards each role stands for itself, and ungated is the challenger."""
    tally = Tally("binary")
    scored(tally, baseline=scores(1, 1))
    scored(tally, baseline=scores(1, 1), champion=scores(0, 1), frozen=scores(1, 1), challenger=scores(0, 0))
    told = tally.figures()
    assert told["accuracy"] == {"champion": 0.25, "frozen": 0.0, "ungated": 0.5}
    assert told["loss"] == {"champion": 1.5, "frozen": 2.0, "ungated": 1.0}
    assert tally.mean_errors()["previous"] == 0.75, "without a predecessor the champion stands for it"


def test_rows_that_do_not_count_are_in_no_figure() -> None:
    """They are events of the stream all the same."""
    tally = Tally("binary")
    tally.counts = np.array([True, False, True])
    scored(tally, baseline=scores(1, 1, 0))
    assert tally.figures()["accuracy"]["champion"] == 0.5
    assert (tally.scored_events, tally.curves.events) == (2, 3)


def test_a_regression_tells_its_absolute_error() -> None:
    """Its loss is squared, so its root is told as well."""
    tally = Tally("regression")
    scored(tally, baseline=Scores(np.array([4.0, 0.0]), np.array([2.0, 0.0])))
    told = tally.figures()
    assert "accuracy" not in told
    assert told["mae"]["champion"] == 1.0
    assert told["loss"]["champion"] == 2.0
    assert told["rmse"]["champion"] == pytest.approx(2**0.5)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_without_events_and_without_numbers_there_is_no_figure(task: Any) -> None:
    """NaN is never told: there is none in JSON."""
    tally = Tally(task)
    assert set(tally.figures()["loss"].values()) == {None}
    scored(tally, baseline=scores(np.nan, 1.0))
    assert set(tally.figures()["loss"].values()) == {None}


def test_alarms_are_counted_and_handed_on_once() -> None:
    """Each is marked on the stream too."""
    tally = Tally("binary")
    scored(tally, baseline=scores(1, 1))
    tally.alarmed("data", "x", 0.5, 2)
    assert [(alarm.kind, alarm.feature, alarm.event) for alarm in tally.take_alarms()] == [("data", "x", 2)]
    assert tally.take_alarms() == []
    assert tally.alarms["data"] == 1
    assert tally.marks.sums()["alarm/data"].sum() == 1
