"""The tests agree with scipy's, and many of them at once are wrong no oftener than one."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from service.drift.comparison import chances, psi, significant, spread_of


def test_the_chance_is_that_of_scipys_g_test() -> None:
    """Empty bins, unequal totals and many rows at once change nothing."""
    random = np.random.default_rng(0)
    now, then = random.integers(0, 30, (6, 12)).astype(float), random.integers(0, 90, (6, 12)).astype(float)
    now[2, 3] = then[2, 3] = now[4, 0] = 0
    found = chances(now, then, np.ones(6))
    for row, chance in enumerate(found):
        table = np.stack([now[row], then[row]])
        table = table[:, table.sum(axis=0) > 0]
        assert chance == pytest.approx(chi2_contingency(table, lambda_="log-likelihood").pvalue)


def test_events_that_depend_on_each_other_need_a_larger_difference() -> None:
    """The statistic counts for less by as much as stretches of the reference differ among themselves."""
    now, then = np.array([[40.0, 60.0]]), np.array([[500.0, 500.0]])
    assert chances(now, then, np.array([4.0]))[0] > chances(now, then, np.ones(1))[0]


def test_one_bin_only_is_no_evidence() -> None:
    """A constant feature that stays constant."""
    assert chances(np.array([[50.0, 0.0]]), np.array([[200.0, 0.0]]), np.ones(1)).tolist() == [1.0]


def test_the_index_is_zero_for_equal_shares_and_grows_with_the_difference() -> None:
    """And an empty bin leaves it finite."""
    even = np.full((1, 4), 0.25)
    assert psi(even, even).tolist() == [0.0]
    tilted = np.array([[0.4, 0.3, 0.2, 0.1]])
    assert 0 < psi(tilted, even)[0] < psi(np.array([[1.0, 0.0, 0.0, 0.0]]), even)[0] < 10


def test_holm_rejects_stepwise_from_the_least_chance_on() -> None:
    """0.01 is below 0.05 / 4 and 0.016 below 0.05 / 3, yet 0.03 is over 0.05 / 2; so 0.04 does not count either."""
    assert significant(np.array([0.04, 0.01, 0.03, 0.016]), 0.05).tolist() == [False, True, False, True]


def test_many_features_raise_no_more_false_alarms_than_one() -> None:
    """Of families of 50 tests without any difference about one in twenty rejects."""
    random = np.random.default_rng(3)
    wrong = sum(significant(random.random(50), 0.05).any() for _ in range(2_000))
    assert 70 <= wrong <= 130


def test_stretches_of_independent_events_are_not_spread() -> None:
    """But those of a stream that wanders are."""
    random = np.random.default_rng(4)
    steady = [random.multinomial(500, [0.1] * 10)[None].astype(float) for _ in range(4)]
    assert spread_of(steady, 1).tolist() == [1.0]
    wandering = [np.roll(np.array([[200.0] + [300 / 9] * 9]), place) for place in range(4)]
    assert spread_of(wandering, 1)[0] > 10
