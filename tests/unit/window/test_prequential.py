"""Prequential scores: sliding means by role, and totals that survive a restart."""

import numpy as np
import pytest

from service.records import Scores
from service.window.prequential import Prequential


def scores(*errors: float) -> Scores:
    """Return scores whose losses are twice the errors."""
    return Scores(2 * np.array(errors), np.array(errors))


def test_each_role_has_its_own_means_and_totals() -> None:
    """The champion's mistakes are not the frozen model's."""
    prequential = Prequential(3)
    prequential.add({"champion": scores(0, 0), "frozen": scores(1, 1)})
    prequential.add({"champion": scores(1, 0), "frozen": scores(1, 1)})
    assert prequential.means()["champion"] == pytest.approx((2 / 3, 1 / 3))
    assert prequential.totals()["champion"] == {"events": 4, "loss_sum": 2.0, "error_sum": 1.0}
    assert prequential.totals()["frozen"]["error_sum"] == 4.0


def test_a_restored_state_has_the_same_means_and_totals() -> None:
    """A restart does not forget how well the models did."""
    original = Prequential(3)
    original.add({"champion": scores(0, 1, 1, 0)})
    copy = Prequential(3)
    copy.restore(*original.snapshot())
    assert copy.means() == original.means()
    assert copy.totals() == original.totals()
