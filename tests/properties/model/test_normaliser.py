"""Running statistics: what they say of a stream does not depend on how it was cut, and no number breaks them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.model.normaliser import SURE_EVENTS, Normaliser
from tests.properties.effort import examples

shapes = st.tuples(st.integers(0, 12), st.just(2))
anything = arrays.arrays(np.float64, shapes, elements=st.floats())
moderate = arrays.arrays(np.float64, shapes, elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)))


@examples(120)
@given(st.lists(anything, max_size=6))
def test_whatever_comes_statistics_stay_finite(batches: list[np.ndarray]) -> None:
    """NaN, infinities and numbers at a double's end leave means, variances and positive scales."""
    statistics = Normaliser(2)
    for batch in batches:
        statistics.update(batch)
    assert np.isfinite(statistics.means).all()
    assert np.isfinite(statistics.variances).all()
    assert (statistics.variances >= 0).all()
    assert (statistics.scales > 0).all()


@examples(120)
@given(st.lists(moderate, max_size=6).filter(lambda parts: sum(map(len, parts)) < SURE_EVENTS))
def test_merged_batches_equal_the_whole(batches: list[np.ndarray]) -> None:
    """Until outliers are told apart, mean and variance are those of all numbers present."""
    statistics = Normaliser(2)
    for batch in batches:
        statistics.update(batch)
    whole = np.concatenate([np.empty((0, 2)), *batches])
    for column in range(2):
        present = whole[~np.isnan(whole[:, column]), column]
        assert statistics.counts[column] == len(present)
        if len(present):
            np.testing.assert_allclose(statistics.means[column], present.mean(), rtol=1e-9, atol=1e-6)
            np.testing.assert_allclose(statistics.variances[column], present.var(), rtol=1e-6, atol=1e-4)


@examples(60)
@given(st.lists(anything, max_size=5), st.lists(anything, max_size=3))
def test_restored_statistics_go_on_as_the_original(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    """To the last bit."""
    original = Normaliser(2)
    for batch in before:
        original.update(batch)
    copy = Normaliser.from_arrays(original.to_arrays())
    for batch in after:
        original.update(batch)
        copy.update(batch)
    for name, array in original.to_arrays().items():
        assert array.tobytes() == copy.to_arrays()[name].tobytes()
