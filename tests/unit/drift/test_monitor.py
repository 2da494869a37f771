"""The monitor joins the detectors, and neither batches nor restarts nor other champions confuse it."""

from collections.abc import Sequence

import numpy as np
import pytest

from service.drift.alarm import Alarm
from service.drift.monitor import MODEL, DriftMonitor, watched
from service.drift.reference import Reference
from service.records import Examples, Scores
from service.settings import Settings

EVENTS = 6_000


def settings_of(task: str = "binary") -> Settings:
    """Return settings with two numbers, one of them nullable, and a category."""
    schema = {"numeric": ["a", "b"], "categorical": ["c"], "nullable": ["b"]}
    return Settings.model_validate({"task": task, "schema": schema})


def stream(*, drifted: bool = True, seed: int = 0) -> tuple[Examples, Scores]:
    """Return events and a champion's scores; at half of them ``a`` shifts, predictions tip over and errors rise."""
    random = np.random.default_rng(seed)
    late = drifted * (np.arange(EVENTS) >= EVENTS // 2)
    numbers = random.normal(size=(EVENTS, 2))
    numbers[:, 0] += late
    numbers[random.random(EVENTS) < 0.1, 1] = np.nan
    errors = (random.random(EVENTS) < 0.1 + 0.2 * late).astype(float)
    predicted = (random.random(EVENTS) < 0.3 + 0.4 * late).astype(float)
    examples = Examples(
        numbers=numbers,
        codes=random.integers(2, 6, (EVENTS, 1)),
        targets=predicted,
        timestamps_ms=np.arange(EVENTS),
        keys=np.arange(EVENTS).astype(np.uint64),
    )
    return examples, Scores(errors, errors, predicted)


def reference(examples: Examples) -> Reference:
    """Return that of the first 2,000 events."""
    return Reference.of(("a", "b"), examples.numbers[:2_000], ("c",), examples.codes[:2_000])


def observed(monitor: DriftMonitor, given: tuple[Examples, Scores], cuts: Sequence[int], first: int = 0) -> list[Alarm]:
    """Show the events in batches that end at the cuts; return the alarms."""
    alarms = []
    for end in cuts:
        rows = slice(first, end)
        alarms += monitor.observe(given[0].take(rows), given[1].take(rows), first)
        first = end
    return alarms


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_each_kind_of_drift_is_told_once_and_soon(task: str) -> None:
    """Inputs, outputs and errors change at event 3,000; a regression's outputs are compared as numbers."""
    given = stream()
    monitor = DriftMonitor(settings_of(task))
    monitor.follow(reference(given[0]))
    alarms = observed(monitor, given, [EVENTS])
    assert sorted(alarm.kind for alarm in alarms) == ["concept", "data", "prediction"]
    assert all(3_000 < alarm.event <= 3_500 for alarm in alarms)
    assert [alarm.feature for alarm in alarms if alarm.kind == "data"] == ["a"]
    assert monitor.totals == {"data": 1, "prediction": 1, "concept": 1}


def test_nothing_is_told_where_nothing_drifts() -> None:
    """And the scores are those that were announced, no others."""
    given = stream(drifted=False)
    monitor = DriftMonitor(settings_of())
    monitor.follow(reference(given[0]))
    assert not observed(monitor, given, [EVENTS])
    scores = monitor.scores()
    assert set(scores) == set(watched(settings_of().schema_))
    assert max(score for (_, kind), score in scores.items() if kind == "psi") < 0.1
    assert scores["b", "missing"] == pytest.approx(0.1, abs=0.04)
    assert scores["c", "unseen"] == 0
    assert abs(scores[MODEL, "concept"]) < 0.2


def test_how_events_are_cut_into_batches_changes_nothing() -> None:
    """One by one, at random or all at once."""
    given = stream()
    found = []
    for cuts in ([EVENTS], range(1, EVENTS + 1), [7, 150, 151, 2_999, 3_333, EVENTS]):
        monitor = DriftMonitor(settings_of())
        monitor.follow(reference(given[0]))
        found.append((observed(monitor, given, list(cuts)), monitor.scores()))
    assert found[0] == found[1] == found[2]


def test_a_restart_anywhere_changes_nothing() -> None:
    """The state is arrays and plain values; the reference comes with the champion."""
    given = stream()
    steady = DriftMonitor(settings_of())
    steady.follow(reference(given[0]))
    alarms = observed(steady, given, [EVENTS])
    for cut in (0, 1, 130, 1_777, 3_050, 3_201, 3_300):
        before, after = DriftMonitor(settings_of()), DriftMonitor(settings_of())
        before.follow(reference(given[0]))
        found = observed(before, given, [cut])
        after.restore(*before.snapshot(), reference(given[0]))
        assert found + observed(after, given, [EVENTS], cut) == alarms
        assert after.scores() == steady.scores()
        assert after.totals == steady.totals


def test_another_champion_is_not_judged_by_the_predictions_of_the_one_before() -> None:
    """Promoted in the middle of a block, it starts a reference of its own; without that it would be an alarm."""
    given = stream(drifted=False)
    late = np.arange(EVENTS) >= 2_050
    predicted = np.where(late, 1.0 - given[1].predicted, given[1].predicted)
    tipped = given[0], Scores(given[1].losses, given[1].errors, predicted)
    for follows, kinds in ((True, []), (False, ["prediction"])):
        monitor = DriftMonitor(settings_of())
        monitor.follow(reference(given[0]))
        alarms = observed(monitor, tipped, [2_050])
        if follows:
            monitor.follow(reference(given[0]))
        alarms += observed(monitor, tipped, [EVENTS], 2_050)
        assert [alarm.kind for alarm in alarms] == kinds


@pytest.mark.parametrize("held_out", [False, True])
def test_a_state_saved_for_a_promotion_is_as_the_new_champion_will_find_it(*, held_out: bool) -> None:
    """The same as after ``follow``."""
    given = stream()
    monitor, saved = DriftMonitor(settings_of()), DriftMonitor(settings_of())
    monitor.follow(reference(given[0]))
    observed(monitor, given, [2_050])
    outputs = given[1].predicted[:200] if held_out else None
    saved.restore(*monitor.snapshot(promoting=True, outputs=outputs), reference(given[0]))
    monitor.follow(reference(given[0]), outputs)
    assert observed(saved, given, [EVENTS], 2_050) == observed(monitor, given, [EVENTS], 2_050)
    assert saved.scores() == monitor.scores()


def test_a_shorter_interval_than_that_of_the_saved_state_goes_on() -> None:
    """Settings may change between two runs; what waits for the next look is cut to what fits."""
    given = stream()
    before = DriftMonitor(settings_of())
    before.follow(reference(given[0]))
    observed(before, given, [1_090])
    tree = settings_of().model_dump(by_alias=True) | {"drift": {"every_events": 20, "window_events": 60}}
    after = DriftMonitor(Settings.model_validate(tree))
    after.restore(*before.snapshot(), reference(given[0]))
    assert {alarm.kind for alarm in observed(after, given, [EVENTS], 1_090)} >= {"data", "concept"}


def test_a_champion_is_judged_soon_by_what_it_predicts_for_held_out_events() -> None:
    """So one that is replaced often is judged too."""
    given = stream(drifted=False)
    for expected, kinds in ((given[1].predicted[:200], []), (1.0 - given[1].predicted[:200], ["prediction"])):
        monitor = DriftMonitor(settings_of())
        monitor.follow(reference(given[0]), expected)
        assert [alarm.kind for alarm in observed(monitor, given, [200])] == kinds


def test_alarms_since_the_last_round_are_at_hand() -> None:
    """For a policy that starts a round early."""
    given = stream()
    monitor = DriftMonitor(settings_of())
    monitor.follow(reference(given[0]))
    observed(monitor, given, [EVENTS])
    assert sorted(monitor.since_round) == ["concept", "data", "prediction"]
    monitor.round_began()
    assert monitor.since_round == []
