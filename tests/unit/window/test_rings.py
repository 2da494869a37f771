"""The rings hold the newest, in order, and hand on what leaves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.records import Scores
from service.window.rings import ExampleRing, ScoreRing
from tests.examples import numbered


@given(st.integers(1, 30), st.lists(st.integers(0, 70), max_size=12))
def test_everything_that_enters_is_held_or_has_left_in_order(capacity: int, sizes: list[int]) -> None:
    """What left, followed by what is held, is exactly what arrived."""
    ring = ExampleRing(capacity, numbers=1, codes=0)
    left: list[int] = []
    arrived = 0
    for size in sizes:
        left += ring.append(numbered(arrived, arrived + size)).timestamps_ms.tolist()
        arrived += size
    held = ring.contents().timestamps_ms.tolist()
    assert left + held == list(range(arrived))
    assert len(ring) == len(held) == min(arrived, capacity)


def test_contents_are_a_copy() -> None:
    """A round's inputs do not change when later events overwrite the ring."""
    ring = ExampleRing(3, numbers=1, codes=0)
    ring.append(numbered(0, 3))
    before = ring.contents()
    ring.append(numbered(3, 6))
    assert before.timestamps_ms.tolist() == [0, 1, 2]


def test_score_ring_means_cover_the_newest_only() -> None:
    """Old scores leave the mean."""
    ring = ScoreRing(2)
    assert np.isnan(ring.means()).all()
    ring.append(Scores(np.array([9.0, 1.0]), np.array([1.0, 0.0])))
    ring.append(Scores(np.array([3.0]), np.array([1.0])))
    assert ring.means() == pytest.approx((2.0, 0.5))
