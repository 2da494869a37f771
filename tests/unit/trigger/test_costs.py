"""The budget: rounds cost their share of a core, no more, and no less while there is always enough to learn."""

import pytest

from service.trigger.costs import CREDIT_SECONDS, Costs


def spend(costs: Costs, seconds: float, cost: float, *, step: float = 0.1) -> float:
    """Begin a round whenever the balance lets one begin; return what all of them cost in so much time."""
    spent = 0.0
    for _ in range(round(seconds / step)):
        if costs.balance_seconds >= 0:
            costs.charge(cost)
            spent += cost
        costs.advance(step)
    return spent


@pytest.mark.parametrize("cost", [0.02, 0.5, 5.0])
def test_rounds_that_are_always_wanted_use_their_share_within_a_tenth(cost: float) -> None:
    """Ten minutes at a tenth of a core are 60 processor seconds, whatever a round costs."""
    assert spend(Costs(0.1), 600, cost) == pytest.approx(60, rel=0.1)


def test_an_idle_hour_buys_no_more_than_a_minutes_share() -> None:
    """What was not used is not saved up, so that the share over any hour is kept."""
    costs = Costs(0.1)
    costs.advance(3_600)
    assert costs.balance_seconds == 0.1 * CREDIT_SECONDS
    assert spend(costs, 600, 0.5) <= 0.1 * (600 + CREDIT_SECONDS) + 0.5


def test_an_expensive_round_is_paid_off_before_the_next() -> None:
    """A first training of 30 s at a tenth of a core makes the next round wait 300 s."""
    costs = Costs(0.1)
    costs.charge(30, usual=False)
    costs.advance(299)
    assert costs.balance_seconds < 0
    costs.advance(2)
    assert costs.balance_seconds >= 0
    assert costs.usual_seconds is None


def test_without_a_budget_nothing_is_owed() -> None:
    """Costs are still known, for the status."""
    costs = Costs(None)
    for cost in range(1, 20):
        costs.charge(float(cost))
    assert costs.balance_seconds == 0
    assert costs.usual_seconds == pytest.approx(15.5)  # of the newest eight


def test_a_round_that_dies_with_the_trainer_is_paid_for() -> None:
    """What is saved while one is in flight owes its usual cost; a restart is no way around the budget."""
    costs = Costs(0.5)
    costs.charge(2.0)
    saved = costs.to_json(in_flight=True)
    resumed = Costs(0.5)
    resumed.restore(saved)
    assert resumed.balance_seconds == -4.0
    free = Costs(None)
    free.restore(saved)
    assert free.balance_seconds == 0
