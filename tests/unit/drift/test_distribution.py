"""A change of distribution is one alarm, chance is none, and a drift that lasts is not told again."""

import numpy as np
import pytest

from service.drift.distribution import DistributionWatch
from service.drift.reference import Reference
from service.settings import Drift

NOTHING = np.zeros((100, 0), dtype=np.int64)


def watch(features: int = 1, **settings: float) -> DistributionWatch:
    """Return a watch whose reference is 2,000 standard normal events."""
    made = DistributionWatch("data", Drift(**settings))
    names = [f"f{index}" for index in range(features)]
    made.follow(Reference.of(names, np.random.default_rng(0).normal(size=(2_000, features))))
    return made


def alarms_of(made: DistributionWatch, means: list[float], features: int = 1, seed: int = 1) -> list[int]:
    """Show a block of 100 events for each mean of the last feature; return the events with alarms."""
    random = np.random.default_rng(seed)
    found = []
    for place, mean in enumerate(means, 1):
        numbers = random.normal(size=(100, features))
        numbers[:, -1] += mean
        alarm = made.look(numbers, NOTHING, place * 100)
        if alarm is not None:
            assert alarm.feature == f"f{features - 1}"
            assert alarm.score >= alarm.threshold
            found.append(alarm.event)
    return found


def test_a_shift_by_one_deviation_is_found_within_three_blocks() -> None:
    """Whichever of many features it is in."""
    found = alarms_of(watch(30), [0.0] * 10 + [1.0] * 10, 30)
    assert len(found) == 1
    assert 1_000 < found[0] <= 1_300


def test_no_drift_raises_no_alarm() -> None:
    """Two hundred looks at thirty features."""
    assert not alarms_of(watch(30), [0.0] * 200, 30)


def test_a_difference_too_small_to_matter_is_none() -> None:
    """However evident enough events make it."""
    assert not alarms_of(watch(window_events=5_000), [0.15] * 60)
    assert alarms_of(watch(window_events=5_000, least_score=0), [0.15] * 60)


def test_a_drift_that_lasts_is_told_once_and_one_that_comes_back_again() -> None:
    """Once its score has been quiet for a whole window, the feature may raise the next."""
    found = alarms_of(watch(cooldown_events=0), [1.0] * 20 + [0.0] * 20 + [1.0] * 20)
    assert len(found) == 2
    assert found[1] > 4_000


def test_what_follows_an_alarm_closely_is_the_same_drift() -> None:
    """Within the cooldown another feature raises none; after it one does."""
    random = np.random.default_rng(5)
    made = watch(2)
    found = []
    for place in range(1, 41):
        numbers = random.normal(size=(100, 2)) + np.array([place > 5, place in {8, 9, 10, 11} or place > 30])
        if (alarm := made.look(numbers, NOTHING, place * 100)) is not None:
            found.append((alarm.feature, alarm.event // 1_000))
    assert found == [("f0", 0), ("f1", 3)]


def test_after_a_promotion_the_newest_events_are_compared_with_the_new_reference() -> None:
    """Nothing has to be collected again."""
    made = watch()
    alarms_of(made, [1.0] * 5)
    assert made.scores()["f0"] > 0.5
    made.follow(Reference.of(["f0"], np.random.default_rng(6).normal(1.0, size=(2_000, 1))))
    assert made.scores()["f0"] < 0.1


def test_a_drift_does_not_hide_itself_from_a_champion_that_is_replaced_all_the_time() -> None:
    """Its first events are in the training data of each next champion, and neither tests nor spread forgive it that."""
    random = np.random.default_rng(9)
    values = random.normal(size=(3_000, 1))
    values[2_000:] += 1
    made = DistributionWatch("data", Drift())
    found = []
    for end in range(2_100, 3_000, 100):
        made.follow(Reference.of(["f0"], values[end - 2_100 : end - 100]))
        found.append(made.look(values[end - 100 : end], NOTHING, end))
    assert any(found[:4])


def test_an_identifier_is_no_drift() -> None:
    """A feature whose every value is new has always been so."""
    made = DistributionWatch("data", Drift())
    none = np.zeros((100, 0))
    made.follow(Reference.of([], np.zeros((2_000, 0)), ["id"], np.arange(2, 2_002)[:, None]))
    for place in range(-10, 30):  # those before 0 are of the training data
        codes = np.arange(2_000 + place * 100, 2_100 + place * 100)[:, None]
        assert made.look(none, codes, place * 100) is None
    assert made.rates()["id", "unseen"] == 1.0


@pytest.mark.parametrize("values", [4, 40])
def test_a_new_category_is_found(values: int) -> None:
    """One event in ten has a value that training never saw, whether there were four or forty."""
    random = np.random.default_rng(7)
    made = DistributionWatch("data", Drift())
    made.follow(Reference.of([], np.zeros((2_000, 0)), ["c"], random.integers(20, 20 + values, (2_000, 1))))
    alarms = []
    for place in range(1, 11):
        codes = random.integers(20, 20 + values, (100, 1))
        codes[::10] = 17
        alarms.append(made.look(np.zeros((100, 0)), codes, place * 100))
    assert any(alarms)
    assert made.rates()["c", "unseen"] == pytest.approx(0.1)


def test_a_stream_that_wanders_by_itself_is_not_taken_for_drift() -> None:
    """Neighbours alike, as in most real streams: the reference's own stretches tell how much that makes."""
    random = np.random.default_rng(8)
    values = np.repeat(random.normal(size=600), 50)[:, None]
    made = DistributionWatch("data", Drift(least_score=0))
    made.follow(Reference.of(["f0"], values[:10_000]))
    blind = DistributionWatch("data", Drift(least_score=0))
    blind.follow(Reference.of(["f0"], values[:10_000], stretch=20_000))
    found = [0, 0]
    for place in range(200):
        block = values[10_000 + place * 100 : 10_100 + place * 100]
        found = [
            found[0] + bool(made.look(block, NOTHING, place * 100)),
            found[1] + bool(blind.look(block, NOTHING, place * 100)),
        ]
    assert found[0] == 0
    assert found[1] > 0
