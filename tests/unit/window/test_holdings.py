"""The holdings split events once and for all, and bound what they keep."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Window
from service.window.holdings import Holdings
from service.window.rings import arrays_of
from tests.examples import numbered


def holdings(seed: int = 0) -> Holdings:
    """Return holdings small enough to overflow."""
    return Holdings(
        Window(events=50, replay_events=40, holdout_share=0.2, recent_events=10, memory_events=20), 1, 0, seed
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 90), max_size=8))
def test_no_held_out_event_is_ever_learnable(sizes: list[int]) -> None:
    """What is in *recent* or *memory* is in neither the window nor the replay memory."""
    held = holdings()
    arrived = 0
    for size in sizes:
        held.admit(numbered(arrived, arrived + size))
        arrived += size
    apart = {*held.recent().keys.tolist(), *held.memory().keys.tolist()}
    learnt = {*held.window().keys.tolist(), *held.replay().keys.tolist()}
    assert not apart & learnt
    assert len(held.window()) <= 50
    assert len(held.replay()) <= 40
    assert len(held.recent()) <= 10
    assert len(held.memory()) <= 20


def test_an_event_is_in_window_or_replay_but_not_both() -> None:
    """Replay is history: it begins where the window ends."""
    held = holdings()
    held.admit(numbered(0, 500))
    window, replay = held.window().keys, held.replay().keys
    assert len(np.intersect1d(window, replay)) == 0
    assert replay.max() < window.min()


def test_a_restored_state_goes_on_as_the_original() -> None:
    """All four parts continue exactly."""
    original = holdings(seed=3)
    original.admit(numbered(0, 333))
    copy = holdings(seed=8)
    copy.restore(*original.snapshot())
    for held in (original, copy):
        held.admit(numbered(333, 555))
    for part in ("window", "replay", "recent", "memory"):
        ours, theirs = arrays_of(getattr(original, part)()), arrays_of(getattr(copy, part)())
        assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_smaller_window_hands_its_overflow_to_replay() -> None:
    """Shrinking window.events between two runs loses nothing that replay has room for."""
    original = holdings()
    original.admit(numbered(0, 60))
    smaller = Holdings(
        Window(events=10, replay_events=100, holdout_share=0.2, recent_events=10, memory_events=20), 1, 0, 0
    )
    smaller.restore(*original.snapshot())
    assert len(smaller.window()) == 10
    assert len(smaller.window()) + len(smaller.replay()) == len(original.window()) + len(original.replay())
