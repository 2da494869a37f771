"""The reservoirs are fair samples, of bounded size, and go on from a saved state as if never interrupted."""

import numpy as np

from service.window.reservoirs import Reservoir
from tests.examples import numbered


def test_a_uniform_sample_holds_early_and_late_alike() -> None:
    """Every event has the same chance, however it was batched: the mean age of the sample is that of the stream."""
    means = []
    for seed in range(40):
        reservoir = Reservoir(50, 1, 0, seed)
        for start in range(0, 2_000, 37):
            reservoir.append(numbered(start, min(start + 37, 2_000)))
        assert len(reservoir) == 50
        means.append(reservoir.contents().timestamps_ms.mean())
    # 2,000 draws from a uniform distribution of width 2,000: the standard error is 13.
    assert abs(np.mean(means) - 1_000) < 65


def test_a_biased_sample_prefers_the_recent() -> None:
    """The chance to be held fades with age, over about as many events as the sample holds."""
    reservoir = Reservoir(100, 1, 0, 0, biased=True)
    for start in range(0, 5_000, 50):
        reservoir.append(numbered(start, start + 50))
    ages = 5_000 - reservoir.contents().timestamps_ms
    assert len(reservoir) == 100
    assert 50 < ages.mean() < 200


def test_a_restored_reservoir_goes_on_as_the_original() -> None:
    """Contents, count and randomness are all in the state."""
    for biased in (False, True):
        original = Reservoir(20, 1, 0, 7, biased=biased)
        original.append(numbered(0, 100))
        copy = Reservoir(20, 1, 0, 99, biased=biased)
        copy.restore(original.contents(), original.state())
        for reservoir in (original, copy):
            reservoir.append(numbered(100, 300))
        assert copy.contents().timestamps_ms.tolist() == original.contents().timestamps_ms.tolist()


def test_a_raised_capacity_is_filled_by_arrivals_and_by_nothing_else() -> None:
    """Raising window.replay_events between two runs makes room; no row is held that never arrived."""
    small = Reservoir(10, 1, 0, 0)
    small.append(numbered(1, 500))
    large = Reservoir(100, 1, 0, 0)
    large.restore(small.contents(), small.state())
    large.append(numbered(500, 530))
    held = large.contents().timestamps_ms
    assert len(large) == 40
    assert held.min() >= 1
    assert set(range(500, 530)) <= set(held.tolist())
    large.append(numbered(530, 2_000))
    assert len(large) == 100


def test_no_room_holds_nothing() -> None:
    """window.replay_events = 0 turns replay off."""
    reservoir = Reservoir(0, 1, 0, 0)
    reservoir.append(numbered(0, 10))
    assert len(reservoir) == len(reservoir.contents()) == 0
