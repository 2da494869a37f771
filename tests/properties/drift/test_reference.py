"""The drift index is a number for any numbers, zero for the same ones, and survives its own JSON."""

import json

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.drift.reference import Reference
from service.store.canonical import canonical_json
from tests.properties.effort import examples

NAMES = ("a", "b")
values = st.one_of(
    st.floats(allow_infinity=False), st.sampled_from([0.0, 1.0, 1.7e308, 1.7e308, -1.7e308, -1.7e308, np.nan])
)
rows = arrays.arrays(np.float64, st.tuples(st.integers(1, 25), st.just(2)), elements=values)


@examples(150)
@example(np.array([[1.7e308, 1.0], [-1.7e308, np.nan]]), np.array([[1.7e308, 1.0]]))
@given(rows, rows)
def test_the_index_is_a_number_and_never_negative(then: np.ndarray, now: np.ndarray) -> None:
    """Whatever the finite or missing numbers were; against itself a sample has not drifted."""
    reference = Reference.of(NAMES, then)
    for name, score in reference.psi(now).items():
        assert name in NAMES
        assert np.isfinite(score)
        assert score >= 0
    assert all(score == 0 for score in reference.psi(then).values())


@examples(60)
@given(rows, rows)
def test_a_reference_survives_its_checkpoint(then: np.ndarray, now: np.ndarray) -> None:
    """Read back from JSON it gives the same numbers."""
    reference = Reference.of(NAMES, then)
    again = Reference.from_json(json.loads(canonical_json(reference.to_json())))
    assert again.psi(now) == reference.psi(now)
