"""A round starts after enough events or enough time, whichever comes first."""

import pytest

from service.settings import Trigger
from service.trigger.policy import due

SETTINGS = Trigger(every_events=100, every_seconds=30, min_events=20)


@pytest.mark.parametrize(
    ("new_events", "seconds_since", "first", "reason"),
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
    new_events: int,
    seconds_since: float,
    first: bool,
    reason: str | None,
) -> None:
    """Events before time; time alone does not start a round on next to nothing."""
    assert due(SETTINGS, new_events=new_events, seconds_since=seconds_since, first=first) == reason


def test_a_full_window_that_is_not_to_lose_events_starts_a_round() -> None:
    """However few are new; enough new events remain the reason that is told."""
    assert due(SETTINGS, new_events=5, seconds_since=0.0, first=False, window_full=True) == "window_full"
    assert due(SETTINGS, new_events=100, seconds_since=0.0, first=False, window_full=True) == "new_events"
