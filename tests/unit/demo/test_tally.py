"""The demo's sums, whatever becomes of a round."""

from service.demo.tally import Tally
from service.observer import ROUND_OUTCOMES


def test_every_outcome_of_a_round_can_come() -> None:
    """Those that the summary has no place for are in the metrics alone."""
    tally = Tally(100)
    for outcome in ROUND_OUTCOMES:
        tally.round_ended(outcome)
        assert tally.registry.get_sample_value("freshet_rounds_total", {"outcome": outcome}) == 1
    assert tally.rounds == {"started": 0, "promoted": 1, "rejected": 1, "failed": 1}
