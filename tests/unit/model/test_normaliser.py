"""Running statistics equal those of the whole, batch by batch, and follow a drifting stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.normaliser import Normaliser


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_batches_merge_to_the_whole(sizes: list[int], mean: float, scale: float) -> None:
    """However the values were batched, mean and deviation are those of all of them."""
    values = mean + scale * np.random.default_rng(0).normal(size=(sum(sizes), 1))
    normaliser = Normaliser(1)
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        normaliser.update(part)
    if len(values) > 1:
        assert normaliser.means[0] == pytest.approx(values.mean(), abs=1e-6 * (abs(mean) + scale))
        assert normaliser.scales[0] == pytest.approx(values.std(), rel=1e-3) or values.std() < 1e-9 * abs(mean)


def test_missing_and_absurd_values_are_left_out() -> None:
    """NaN and 1e300 say nothing about a column's scale."""
    normaliser = Normaliser(2)
    normaliser.update(np.array([[1.0, np.nan], [3.0, 1e300], [np.nan, 5.0]]))
    assert normaliser.means.tolist() == [2.0, 5.0]
    assert normaliser.scales.tolist() == [1.0, 1.0]


def test_a_constant_column_has_scale_one() -> None:
    """Nothing is divided by zero."""
    normaliser = Normaliser(1)
    normaliser.update(np.full((10, 1), 0.1))
    assert normaliser.scales[0] == 1.0


def test_an_outlier_does_not_blow_the_scale_up() -> None:
    """A sentinel such as 9999, or 1e30, counts as ten deviations once the scale is known."""
    normaliser = Normaliser(1)
    normaliser.update(np.random.default_rng(0).normal(size=(1_000, 1)))
    for outlier in (9_999.0, -1e30, 1e200):
        normaliser.update(np.array([[outlier]]))
    assert normaliser.scales[0] < 1.2
    assert abs(normaliser.means[0]) < 0.1


def test_a_column_that_really_grew_is_followed() -> None:
    """A change of unit, a thousandfold, is taken in within some batches."""
    normaliser = Normaliser(1)
    random = np.random.default_rng(0)
    normaliser.update(random.normal(size=(5_000, 1)))
    for _ in range(20):
        normaliser.update(1_000 * random.normal(size=(500, 1)))
    assert normaliser.scales[0] > 500


def test_old_values_fade() -> None:
    """After many times the memory, the statistics are those of the new regime."""
    normaliser = Normaliser(1)
    for level in (0.0, 100.0):
        for _ in range(6):
            normaliser.update(np.full((100_000, 1), level))
    assert normaliser.means[0] > 90


def test_it_survives_arrays() -> None:
    """A snapshot restores the same statistics."""
    normaliser = Normaliser(3)
    normaliser.update(np.random.default_rng(1).normal(size=(10, 3)))
    copy = Normaliser.from_arrays(normaliser.to_arrays())
    assert (copy.means == normaliser.means).all()
    assert (copy.scales == normaliser.scales).all()
