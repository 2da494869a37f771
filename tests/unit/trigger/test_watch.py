"""The watch keeps what the policies need between rounds, and goes on after a restart."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Trigger
from service.trigger.costs import CREDIT_SECONDS
from service.trigger.watch import Watch

PROMOTED = {"promoted": True, "reason": "forward_better"}
REJECTED = {"promoted": False, "reason": "forward_worse"}


def due(watch: Watch, now: float, events: int = 0, **known: Any) -> str | None:
    """Return the reason to begin a round now, some model being there."""
    return watch.due(now, new_events=events, **{"first": False, **known})


def carry_out(watch: Watch, now: float, cost: float, *, promoted: bool, seconds: float = 0.0) -> None:
    """Begin a round and end it so many seconds later."""
    watch.began("new_events", now, first=False)
    watch.tick(now + seconds)
    watch.ended(cost)
    watch.decided(**(PROMOTED if promoted else REJECTED))
    if promoted:
        watch.crowned()
        watch.served()


def test_a_round_says_why_it_was_begun() -> None:
    """In numbers, for the journal; a round that nobody asked for says nothing."""
    watch = Watch(Trigger(every_events=100), 1_000)
    watch.start(0.0)
    assert due(watch, 1.0, 120) == "new_events"
    watch.began("new_events", 1.0, first=False)
    assert watch.sentence == "120 new events (trigger.every_events: 100)"
    watch.failed()
    watch.began("window_full", 2.0, first=False)
    assert watch.sentence == ""


def test_the_budget_spaces_rounds_by_what_they_cost() -> None:
    """4 s of a processor at a tenth of it: the next round 40 s later, though one is called for all the time."""
    watch = Watch(Trigger(every_events=100, budget_share=0.1), 1_000)
    watch.start(0.0)
    carry_out(watch, 0.0, 4.0, promoted=False)
    assert due(watch, 39.0, 5_000) is None
    assert watch.held is not None
    assert "5,000 new events" in watch.held
    assert "10% of a core" in watch.held
    assert due(watch, 40.5, 5_000) == "new_events"
    assert watch.held is None


def test_staleness_counts_from_arrival_and_leaves_time_for_the_round() -> None:
    """Rounds take 5 s here, so one begins 25 s after the first event that the champion does not know."""
    watch = Watch(Trigger(max_staleness_seconds=30, every_seconds=1_000), 1_000)
    watch.start(100.0)
    watch.took_in(1)
    carry_out(watch, 100.0, 1.0, promoted=True, seconds=5.0)
    watch.tick(110.0)
    watch.took_in(3)
    assert due(watch, 134.0, 3) is None
    assert due(watch, 135.5, 3) == "staleness"
    assert watch.awaited == (25.5, 1.0)


def test_a_new_concept_is_urgent_until_a_round_begins() -> None:
    """A restart in between forgets nothing."""
    watch = Watch(Trigger(every_events=100), 1_000)
    watch.start(0.0)
    watch.concept_changed()
    resumed = Watch(Trigger(every_events=100), 1_000)
    resumed.restore(json.loads(json.dumps(watch.to_json())))
    for one in (watch, resumed):
        assert due(one, 1.0, 30) == "new_concept"
        one.began("new_concept", 1.0, first=False)
        assert "30 new events" in one.sentence
        assert due(one, 2.0, 30) is None


def test_a_back_off_ends_with_a_promotion_an_alarm_or_a_fall() -> None:
    """Whatever says that there is something to learn again."""
    watch = Watch(Trigger(every_events=100, backoff_rounds=4, backoff_max=4), 10_000)
    watch.start(0.0)

    def tire() -> None:
        for _ in range(12):
            carry_out(watch, 0.0, 0.1, promoted=False)
        assert due(watch, 0.0, 399) is None
        assert due(watch, 0.0, 400) == "new_events"

    tire()
    carry_out(watch, 0.0, 0.1, promoted=True)
    assert due(watch, 0.0, 100) == "new_events"
    tire()
    assert due(watch, 0.0, 100, alarms=["concept"]) == "new_events"
    watch.scored(np.tile([0.1, 0.3], 500))
    tire()
    watch.scored(np.tile([2.0, 3.0], 100))
    assert due(watch, 0.0, 100) == "new_events"
    tire()
    watch.concept_changed()
    assert due(watch, 0.0, 100) == "new_events"
    tire()  # the same fall ends it once only: it may be noise that cannot be learnt


def test_a_failed_round_is_charged_by_the_clock() -> None:
    """Nobody tells what it cost."""
    watch = Watch(Trigger(every_events=100, budget_share=0.5), 1_000)
    watch.start(0.0)
    watch.began("new_events", 0.0, first=False)
    watch.tick(10.0)
    watch.failed()
    assert watch.status(0)["budget_balance_seconds"] == pytest.approx(-5.0)


def test_time_while_nobody_drove_the_learner_does_not_count() -> None:
    """A restart on another clock: ages and the budget are what they were."""
    watch = Watch(Trigger(budget_share=0.1), 1_000)
    watch.start(1_000.0)
    watch.took_in(5)
    carry_out(watch, 1_000.0, 3.0, promoted=False)
    watch.tick(1_010.0)
    resumed = Watch(Trigger(budget_share=0.1), 1_000)
    resumed.restore(json.loads(json.dumps(watch.to_json())))
    resumed.start(7.0)
    resumed.tick(9.0)
    watch.tick(1_012.0)
    assert resumed.status(5) == watch.status(5) | {"last": None}


def test_a_snapshot_of_a_promotion_is_of_after_it() -> None:
    """It names the new champion: what is known of the old one's losses is not in it, and nothing waits any more."""
    watch = Watch(Trigger(), 1_000)
    watch.start(0.0)
    watch.took_in(10)
    watch.scored(np.full(500, 0.3))
    watch.began("new_events", 5.0, first=False)
    watch.ended(1.0)
    watch.decided(**PROMOTED)
    saved = watch.to_json(crowned=True, served=True)
    watch.crowned()
    watch.served()
    assert saved == watch.to_json() | {"freshness": saved["freshness"]}
    assert saved["freshness"]["served"] == watch.to_json()["freshness"]["served"] == 10


steps = st.lists(
    st.tuples(st.floats(0.01, 30), st.integers(0, 400), st.floats(0.01, 3), st.booleans(), st.booleans()), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(steps, st.floats(0.02, 1.0))
def test_no_reason_breaks_the_budget_and_a_restart_changes_nothing(
    taken: list[tuple[float, int, float, bool, bool]], share: float
) -> None:
    """In every span of time rounds cost at most its share, a minute's share and one round more."""
    chosen = Trigger(every_events=50, min_events=1, every_seconds=5, max_staleness_seconds=3, budget_share=share)
    watch, now, events = Watch(chosen, 500), 0.0, 0
    watch.start(0.0)
    spent: list[tuple[float, float]] = []
    for seconds, arrived, cost, promoted, restarts in taken:
        now += seconds
        if restarts:
            saved = json.loads(json.dumps(watch.to_json()))
            watch = Watch(chosen, 500)
            watch.restore(saved)
            assert json.loads(json.dumps(watch.to_json())) == saved
            watch.start(now - seconds)
        events += arrived
        watch.took_in(arrived)
        if due(watch, now, events, window_full=True, alarms=["concept"]) is not None:
            events = 0
            carry_out(watch, now, cost, promoted=promoted)
            spent.append((now, cost))
    for first in range(len(spent)):
        for last in range(first, len(spent)):
            span = spent[last][0] - spent[first][0]
            together = sum(cost for _, cost in spent[first : last + 1])
            most = max(cost for _, cost in spent[first : last + 1])
            assert together <= share * (span + CREDIT_SECONDS) + most + 1e-6
