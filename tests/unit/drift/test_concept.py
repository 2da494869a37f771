"""A rise of the error is found soon, a fall or chance never, and a restart changes nothing."""

import numpy as np
import pytest

from service.drift.alarm import Alarm
from service.drift.concept import MEMORY, ConceptWatch
from service.settings import Drift


def observed(made: ConceptWatch, *parts: np.ndarray) -> list[Alarm]:
    """Show all errors; return the alarms."""
    return made.observe(np.concatenate(parts), 1)


def wrong(share: float, events: int, seed: int = 0) -> np.ndarray:
    """Return errors of a classification."""
    return (np.random.default_rng(seed).random(events) < share).astype(np.float64)


@pytest.mark.parametrize(("before", "after", "within"), [(0.02, 0.2, 150), (0.1, 0.3, 250), (0.3, 0.5, 400)])
def test_a_rise_of_the_error_is_one_alarm_soon_after(before: float, after: float, within: int) -> None:
    """At whatever level it was."""
    alarms = observed(ConceptWatch(Drift(), classifies=True), wrong(before, 5_000), wrong(after, 3_000, 1))
    assert len(alarms) == 1
    assert 5_000 < alarms[0].event <= 5_000 + within
    assert alarms[0].score >= alarms[0].threshold


def test_an_error_that_stays_the_same_raises_none() -> None:
    """Nor does a perfect model's."""
    assert not observed(ConceptWatch(Drift(), classifies=True), wrong(0.2, 60_000))
    assert not observed(ConceptWatch(Drift(), classifies=True), np.zeros(10_000))


def test_a_model_that_learns_raises_none_and_lowers_the_level() -> None:
    """After a fall from 0.4 to 0.1, 0.3 is a rise."""
    made = ConceptWatch(Drift(), classifies=True)
    assert not observed(made, wrong(0.4, 3_000), wrong(0.1, 3_000, 1))
    assert made.observe(wrong(0.3, 400, 2), 6_001)


def test_a_second_rise_is_found_from_the_level_after_the_first() -> None:
    """The alarm began the detectors anew."""
    alarms = observed(ConceptWatch(Drift(), classifies=True), *(wrong(share, 3_000, 3) for share in (0.1, 0.3, 0.6)))
    assert [alarm.event // 3_000 for alarm in alarms] == [1, 2]


def test_rises_within_the_cooldown_are_the_same_drift() -> None:
    """A model that fails ever more is one alarm."""
    parts = [wrong(share, 600, 4) for share in (0.05, 0.05, 0.3, 0.6, 0.9)]
    assert len(observed(ConceptWatch(Drift(cooldown_events=3_000), classifies=True), *parts)) == 1
    assert len(observed(ConceptWatch(Drift(cooldown_events=0), classifies=True), *parts)) > 1


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_errors_of_a_regression_are_judged_in_their_own_scale(unit: float) -> None:
    """Half as much again is found, in any unit; a few absurd ones are not."""
    random = np.random.default_rng(5)
    errors = np.abs(random.normal(size=8_000)) * unit
    absurd = errors.copy()
    absurd[::200] = 1e90
    assert not observed(ConceptWatch(Drift(), classifies=False), absurd)
    errors[5_000:] *= 1.5
    alarms = observed(ConceptWatch(Drift(), classifies=False), errors)
    assert len(alarms) == 1
    assert 5_000 < alarms[0].event < 5_600


def test_a_restart_in_the_middle_changes_nothing() -> None:
    """Detectors fed again with what is held raise the same alarms, at every cut and beyond what memory holds."""
    errors = np.concatenate([wrong(share, MEMORY + 500, 6) for share in (0.4, 0.1, 0.3)])
    steady = ConceptWatch(Drift(), classifies=True)
    alarms = steady.observe(errors, 1)
    cut, found = ConceptWatch(Drift(), classifies=True), []
    for begin in range(0, len(errors), 700):
        found += cut.observe(errors[begin : begin + 700], begin + 1)
        saved, cut = cut.snapshot(), ConceptWatch(Drift(), classifies=True)
        cut.restore(*saved)
    assert found == alarms
    assert len(alarms) == 1
    assert cut.snapshot()[0].tolist() == steady.snapshot()[0].tolist()


def test_what_is_held_is_bounded() -> None:
    """However long nothing changes."""
    made = ConceptWatch(Drift(), classifies=True)
    made.observe(wrong(0.2, 30_000), 1)
    assert len(made.snapshot()[0]) <= MEMORY
