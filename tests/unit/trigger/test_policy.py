"""A round starts for the first reason that calls, unless the budget holds it."""

import pytest

from service.settings import Trigger
from service.trigger.policy import due, held, spacing, wanted
from service.trigger.signals import Fall, Signals

SETTINGS = Trigger(every_events=100, every_seconds=30, min_events=20)
FALLEN = Fall(fallen=True, newest_loss=0.6, loss_before=0.3, newest_events=100, events_before=900, z=5.0)


def reason(settings: Trigger, **signals: object) -> str | None:
    """Return why a round starts with these signals, None if none does."""
    given = {"new_events": 0, "since_seconds": 0.0} | signals
    call = due(settings, Signals(**given))  # type: ignore[arg-type]
    assert call is None or call.sentence
    return call.reason if call else None


@pytest.mark.parametrize(
    ("new_events", "since_seconds", "first", "expected"),
    [
        (99, 29.9, False, None),
        (100, 0.0, False, "new_events"),
        (100, 0.0, True, "first_events"),
        (20, 30.0, False, "elapsed"),
        (20, 30.0, True, "elapsed"),
        (19, 3_600.0, False, None),
        (0, 3_600.0, False, None),
        (500, 60.0, False, "new_events"),
    ],
)
def test_the_reason_says_what_came_first(
    new_events: int, since_seconds: float, first: bool, expected: str | None
) -> None:
    """Events before time; time alone does not start a round on next to nothing."""
    assert reason(SETTINGS, new_events=new_events, since_seconds=since_seconds, first=first) == expected


def test_a_full_window_that_is_not_to_lose_events_starts_a_round() -> None:
    """However few are new; enough new events remain the reason that is told."""
    assert reason(SETTINGS, new_events=5, window_full=True) == "window_full"
    assert reason(SETTINGS, new_events=100, window_full=True) == "new_events"


@pytest.mark.parametrize(
    ("signals", "expected"),
    [({"alarms": ("concept",)}, "drift_alarm"), ({"fall": FALLEN}, "score_fall")],
)
def test_an_alarm_and_a_fall_start_a_round_early(signals: dict[str, object], expected: str) -> None:
    """Once there are early_events of the new concept; never before, and never the first round."""
    settings = Trigger(every_events=500, early_events=100)
    assert reason(settings, new_events=99, **signals) is None
    assert reason(settings, new_events=100, **signals) == expected
    assert reason(settings, new_events=100, first=True, **signals) is None
    assert reason(settings, new_events=500, **signals) == "new_events"


def test_a_new_concept_that_was_under_suspicion_starts_a_round_at_once() -> None:
    """The champion does no better than guessing on it: a round on min_events is better than none."""
    settings = Trigger(every_events=500, min_events=20, early_events=100)
    assert reason(settings, new_events=19, changed=True) is None
    assert reason(settings, new_events=20, changed=True) == "new_concept"
    assert reason(settings, new_events=20, changed=True, first=True) is None
    assert reason(settings, new_events=20) is None
    assert reason(Trigger(budget_share=0.1), new_events=20, changed=True, balance_seconds=-1.0) is None


def test_only_the_chosen_kinds_of_drift_start_a_round() -> None:
    """By default an alarm about the inputs alone does not."""
    assert reason(Trigger(), new_events=200, alarms=("data", "prediction")) is None
    assert reason(Trigger(on_drift=("data",)), new_events=200, alarms=("data", "concept")) == "drift_alarm"
    assert reason(Trigger(on_drift=()), new_events=200, alarms=("concept",)) is None


def test_a_hundred_events_are_a_hundred() -> None:
    """With trigger.every_events at most early_events nothing about drift or score moves a round."""
    for events in range(100):
        assert reason(Trigger(every_events=100), new_events=events, alarms=("concept",), fall=FALLEN) is None


def test_a_round_begins_early_enough_for_the_staleness_bound() -> None:
    """One that takes 4 s begins 4 s before an event has waited for 60, on a single new event too."""
    settings = Trigger(max_staleness_seconds=60)
    waits = {"new_events": 1, "round_seconds": 4.0}
    assert reason(settings, **waits, untried_seconds=55.9, unserved_seconds=55.9) is None
    assert reason(settings, **waits, untried_seconds=56.0, unserved_seconds=56.0) == "staleness"
    assert reason(settings, **waits, untried_seconds=90.0, unserved_seconds=90.0, first=True) is None  # on one event
    assert reason(Trigger(), **waits, untried_seconds=9e9, unserved_seconds=9e9) is None


def test_after_a_rejection_staleness_waits_for_something_new() -> None:
    """The bound is passed, but an event that was tried is tried again only with min_events more, and in no back-off."""
    settings = Trigger(max_staleness_seconds=60, min_events=20, every_seconds=1_000, backoff_rounds=8)
    waits = {"unserved_seconds": 90.0, "untried_seconds": 10.0}
    assert reason(settings, new_events=19, **waits) is None
    assert reason(settings, new_events=20, **waits) == "staleness"
    assert reason(settings, new_events=20, rejected_rounds=8, **waits) is None


def test_the_budget_holds_every_reason() -> None:
    """Overdrawn by 3 s of a processor at a tenth of it, all wait 30 s; the staleness that this costs is told."""
    settings = Trigger(every_events=100, budget_share=0.1, max_staleness_seconds=60)
    asked = Signals(
        new_events=500,
        since_seconds=100,
        window_full=True,
        alarms=("concept",),
        fall=FALLEN,
        unserved_seconds=50,
        untried_seconds=50,
        balance_seconds=-3,
    )
    assert wanted(settings, asked) is not None
    assert due(settings, asked) is None
    told = held(settings, asked) or ""
    assert "10% of a core" in told
    assert "in 30 s" in told
    assert "max_staleness_seconds (60 s) cannot be kept" in told
    relaxed = Trigger(budget_share=0.1)
    assert "staleness" not in (held(relaxed, asked) or "")
    assert held(Trigger(), asked) is None


@pytest.mark.parametrize(
    ("rounds", "expected"), [(0, 1), (7, 1), (8, 2), (11, 2), (12, 4), (16, 8), (1_000, 8), (10_000_000, 8)]
)
def test_rounds_that_keep_bringing_nothing_are_spaced_wider(rounds: int, expected: float) -> None:
    """Twice as wide with every half as many more, up to the bound."""
    settings = Trigger(backoff_rounds=8, backoff_max=8)
    assert spacing(settings, Signals(0, 0.0, rejected_rounds=rounds)) == expected
    idle = Trigger(backoff_rounds=None, backoff_idle_rounds=8, backoff_max=8)
    assert spacing(idle, Signals(0, 0.0, rejected_rounds=10_000, idle_rounds=rounds)) == expected


def test_a_back_off_spaces_events_and_time_but_never_wider_than_the_window() -> None:
    """What would leave the window unlearnt is not waited for; without a back-off nothing changes."""
    settings = Trigger(every_events=100, every_seconds=30, min_events=20, backoff_rounds=8)
    tired = {"rejected_rounds": 8}
    assert reason(settings, new_events=199, **tired) is None
    assert reason(settings, new_events=200, **tired) == "new_events"
    assert reason(settings, new_events=150, window_events=150, **tired) == "new_events"
    assert reason(settings, new_events=99, window_events=50, **tired) is None
    assert reason(settings, new_events=20, since_seconds=59, **tired) is None
    assert reason(settings, new_events=20, since_seconds=60, **tired) == "elapsed"
    assert reason(settings.model_copy(update={"backoff_rounds": None}), new_events=100, **tired) == "new_events"
    call = due(settings, Signals(200, 0.0, rejected_rounds=8))
    assert call is not None
    assert "2 times as wide after 8 rounds" in call.sentence
