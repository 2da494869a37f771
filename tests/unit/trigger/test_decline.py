"""A fall of the champion's score is told from noise, and from outliers."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Trigger
from service.trigger.decline import BLOCK_EVENTS, Decline


def losses(events: int, error: float, seed: int) -> np.ndarray:
    """Return log-losses of a model that is wrong in a share of the events, and sure of itself."""
    random = np.random.default_rng(seed)
    return np.where(random.random(events) < error, random.exponential(2.0, events), random.exponential(0.15, events))


def test_a_champion_that_fails_has_fallen_within_its_newest_events() -> None:
    """From 10 to 40 % errors, seen by the time the newest hundred events are after the change."""
    decline = Decline(Trigger())
    decline.add(losses(1_000, 0.1, 0))
    assert not decline.fall().fallen
    decline.add(losses(100, 0.4, 1))
    fall = decline.fall()
    assert fall.fallen
    assert fall.newest_events == 100
    assert fall.events_before == 1_000
    assert fall.newest_loss > 1.5 * fall.loss_before
    decline.reset()
    assert not decline.fall().fallen


def test_noise_is_no_fall() -> None:
    """On 200,000 events of an error that stays what it is, asked after every block, at most twice."""
    decline, alarms, fallen = Decline(Trigger()), 0, False
    for block in losses(200_000, 0.1, 2).reshape(-1, BLOCK_EVENTS):
        decline.add(block)
        before, fallen = fallen, decline.fall().fallen
        alarms += fallen and not before
    assert alarms <= 2


def test_one_wild_label_is_no_fall() -> None:
    """A loss counts as ten times the mean at most, also one that is no number."""
    decline = Decline(Trigger())
    decline.add(losses(1_000, 0.1, 3))
    decline.add(np.concatenate([losses(98, 0.1, 4), [1e100, np.nan]]))
    assert not decline.fall().fallen


def test_too_little_is_no_evidence() -> None:
    """The newest events are compared with twice as many before them at least."""
    decline = Decline(Trigger())
    decline.add(np.concatenate([np.full(180, 0.1), np.full(100, 3.0)]))
    assert not decline.fall().fallen


def test_it_can_be_turned_off() -> None:
    """Without a level nothing is kept, and nothing has fallen."""
    decline = Decline(Trigger(fall_alpha=None))
    decline.add(np.concatenate([losses(1_000, 0.1, 5), np.full(200, 5.0)]))
    assert not decline.fall().fallen


wild = st.one_of(st.floats(0, 5), st.sampled_from([1e100, np.inf, np.nan]))


@settings(max_examples=60, deadline=None)
@given(st.lists(wild, max_size=300), st.lists(st.integers(1, 60), max_size=20))
def test_how_losses_are_batched_and_restarts_change_nothing(values: list[float], sizes: list[int]) -> None:
    """All at once, or in any parts with a restart after each: the same sums, all of them numbers."""
    chosen = Trigger(fall_events=40)
    whole, parts = Decline(chosen), Decline(chosen)
    whole.add(np.array(values, dtype=np.float64))
    for size in [*sizes, len(values)]:
        given_now, values = values[:size], values[size:]
        parts.add(np.array(given_now, dtype=np.float64))
        saved = json.loads(json.dumps(parts.to_json(), allow_nan=False))
        parts = Decline(chosen)
        parts.restore(saved)
    assert parts.to_json() == whole.to_json()
    assert parts.fall() == whole.fall()
