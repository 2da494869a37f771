"""The reservoirs are fair samples, of bounded size, and go on from a saved state as if never interrupted."""

import numpy as np

from service.records import Examples
from service.settings import Window
from service.window.holdings import Holdings
from service.window.reservoirs import RecentBiasedReservoir, UniformReservoir
from service.window.selections import SELECTIONS
from tests.examples import numbered


def test_a_uniform_sample_holds_early_and_late_alike() -> None:
    """Every event has the same chance, however it was batched: the mean age of the sample is that of the stream."""
    means = []
    for seed in range(40):
        reservoir = UniformReservoir(50, 1, 0, seed)
        for start in range(0, 2_000, 37):
            reservoir.append(numbered(start, min(start + 37, 2_000)))
        assert len(reservoir) == 50
        means.append(reservoir.contents().timestamps_ms.mean())
    # 2,000 draws from a uniform distribution of width 2,000: the standard error is 13.
    assert abs(np.mean(means) - 1_000) < 65


def test_a_biased_sample_prefers_the_recent() -> None:
    """The chance to be held fades with age, over about as many events as the sample holds."""
    reservoir = RecentBiasedReservoir(100, 1, 0, 0)
    for start in range(0, 5_000, 50):
        reservoir.append(numbered(start, start + 50))
    ages = 5_000 - reservoir.contents().timestamps_ms
    assert len(reservoir) == 100
    assert 50 < ages.mean() < 200


def test_a_restored_reservoir_goes_on_as_the_original() -> None:
    """Contents, count and randomness are all in the state."""
    for kind in SELECTIONS.values():
        original = kind(20, 1, 0, 7)
        original.append(numbered(0, 100))
        copy = kind(20, 1, 0, 99)
        copy.restore(original.contents(), original.state(), original.columns())
        for reservoir in (original, copy):
            reservoir.append(numbered(100, 300))
        assert copy.contents().timestamps_ms.tolist() == original.contents().timestamps_ms.tolist()


def test_a_raised_capacity_is_filled_by_arrivals_and_by_nothing_else() -> None:
    """Raising window.replay_events between two runs makes room; no row is held that never arrived."""
    small = UniformReservoir(10, 1, 0, 0)
    small.append(numbered(1, 500))
    large = UniformReservoir(100, 1, 0, 0)
    large.restore(small.contents(), small.state(), small.columns())
    large.append(numbered(500, 530))
    held = large.contents().timestamps_ms
    assert len(large) == 40
    assert held.min() >= 1
    assert set(range(500, 530)) <= set(held.tolist())
    large.append(numbered(530, 2_000))
    assert len(large) == 100


def test_no_room_holds_nothing() -> None:
    """window.replay_events = 0 turns replay off."""
    reservoir = UniformReservoir(0, 1, 0, 0)
    reservoir.append(numbered(0, 10))
    assert len(reservoir) == len(reservoir.contents()) == 0


def labelled(labels: np.ndarray) -> Examples:
    """Return events with these labels, told apart by their place."""
    made = numbered(0, len(labels))
    made.targets[:] = labels
    return made


def test_a_balanced_sample_has_room_for_rare_classes() -> None:
    """Of classes of 90, 9 and 1 % each has a third of the room, or all of its events where there are fewer."""
    labels = np.random.default_rng(0).choice(3, p=[0.9, 0.09, 0.01], size=20_000)
    reservoir = SELECTIONS["class_balanced"](900, 1, 0, 0)
    arrived = labelled(labels)
    for first in range(0, 20_000, 250):
        reservoir.append(arrived.take(slice(first, first + 250)))
    held = np.bincount(reservoir.contents().targets.astype(int))
    rare = int((labels == 2).sum())
    assert rare < 300
    assert held.tolist() == [(900 - rare + 1) // 2, (900 - rare) // 2, rare] or held.tolist() == [
        (900 - rare) // 2,
        (900 - rare + 1) // 2,
        rare,
    ]


def test_of_each_class_a_balanced_sample_is_uniform() -> None:
    """Early and late events of the common class are held alike."""
    labels = np.arange(3_000) % 10 // 9
    means = []
    for seed in range(30):
        reservoir = SELECTIONS["class_balanced"](100, 1, 0, seed)
        reservoir.append(labelled(labels))
        contents = reservoir.contents()
        means.append(contents.timestamps_ms[contents.targets == 0].mean())
    # 1,500 draws from a uniform distribution of width 3,000: the standard error is 22.
    assert abs(np.mean(means) - 1_500) < 110


def test_a_hard_sample_prefers_what_was_hard_and_recent() -> None:
    """Ten times the loss is ten times the chance; both fade with age, so that nothing hard is held for ever."""
    reservoir = SELECTIONS["hard"](200, 1, 0, 0)
    for first in range(0, 6_000, 100):
        arrived = numbered(first, first + 100)
        reservoir.append(arrived, np.where(arrived.keys % 10 == 0, 2.0, 0.2))
    held = reservoir.contents()
    hard = (held.keys % 10 == 0).mean()
    assert 0.3 < hard < 0.7  # a tenth of the stream
    assert held.timestamps_ms.mean() > 4_500  # the middle of the stream is at 3,000


def test_losses_travel_with_their_events_through_the_window() -> None:
    """An event is offered with what it cost when it arrived, however long it stayed in the window."""
    window = Window(events=50, replay_events=40, replay_selection="hard", holdout_share=0.2)
    held = Holdings(window, 1, 0, 0)
    for first in range(0, 4_000, 64):
        arrived = numbered(first, first + 64)
        held.admit(arrived, np.where(arrived.keys % 8 == 0, 3.0, 1e-6))
    kept = held.replay()
    assert len(kept) == 40
    assert (kept.keys % 8 == 0).all()
    copy = Holdings(window, 1, 0, 5)
    copy.restore(*held.snapshot())
    for holdings in (held, copy):
        holdings.admit(numbered(4_000, 4_100), np.full(100, 1e-6))
    assert copy.replay().keys.tolist() == held.replay().keys.tolist()
