"""The reservoirs: bounded samples of what was seen, the same for the same seed, resumed as if never stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.window.reservoirs import Reservoir
from tests.examples import numbered
from tests.properties.effort import examples

sizes = st.lists(st.integers(0, 40), max_size=8)
capacities = st.integers(0, 25)


def filled(capacity: int, parts: list[int], seed: int, *, biased: bool) -> Reservoir:
    """Return a reservoir that has seen events 0, 1, 2 and so on, in batches of these sizes."""
    made = Reservoir(capacity, 1, 0, seed, biased=biased)
    offer(made, 0, parts)
    return made


def offer(reservoir: Reservoir, first: int, parts: list[int]) -> None:
    """Offer the events from ``first`` on, in batches of these sizes."""
    for size in parts:
        reservoir.append(numbered(first, first + size))
        first += size


def held(reservoir: Reservoir) -> list[int]:
    """Return which events are held, with all columns of a row still together."""
    rows = reservoir.contents()
    assert rows.keys.tolist() == rows.timestamps_ms.tolist() == rows.numbers[:, 0].tolist()
    assert len(reservoir) == len(rows)
    return rows.keys.tolist()


@examples(150)
@given(capacities, sizes, st.integers(0, 2**31), st.booleans())
def test_a_sample_is_bounded_and_of_what_was_seen(capacity: int, parts: list[int], seed: int, biased: bool) -> None:
    """No event twice, none that never arrived; and a uniform one is full as soon as it can be."""
    sample = held(filled(capacity, parts, seed, biased=biased))
    assert len({*sample}) == len(sample) <= capacity
    assert {*sample} <= {*range(sum(parts))}
    if not biased:
        assert len(sample) == min(capacity, sum(parts))


@examples(80)
@given(capacities, sizes, st.integers(0, 2**31), st.booleans())
def test_the_same_seed_draws_the_same_sample(capacity: int, parts: list[int], seed: int, biased: bool) -> None:
    """From the same batches, and one event at a time draws as batches do."""
    one = held(filled(capacity, parts, seed, biased=biased))
    assert one == held(filled(capacity, parts, seed, biased=biased))
    assert one == held(filled(capacity, [1] * sum(parts), seed, biased=biased))


@examples(120)
@given(capacities, sizes, sizes, st.integers(0, 2**31), st.booleans())
def test_a_restored_sample_goes_on_as_if_never_stopped(
    capacity: int, before: list[int], after: list[int], seed: int, biased: bool
) -> None:
    """Contents and state are all there is: the copy draws what the original draws."""
    original = filled(capacity, before, seed, biased=biased)
    copy = Reservoir(capacity, 1, 0, seed + 1, biased=biased)
    copy.restore(original.contents(), original.state())
    for reservoir in (original, copy):
        offer(reservoir, sum(before), after)
    assert held(copy) == held(original)
    assert copy.state() == original.state()


@examples(120)
@given(capacities, capacities, sizes, sizes, st.integers(0, 2**31), st.booleans())
def test_another_capacity_after_a_restart_keeps_what_fits(
    capacity: int, later: int, before: list[int], after: list[int], seed: int, biased: bool
) -> None:
    """A smaller one cuts off, a larger one makes room for arrivals; it stays a sample of what was seen."""
    small = filled(capacity, before, seed, biased=biased)
    resized = Reservoir(later, 1, 0, 0, biased=biased)
    resized.restore(small.contents(), small.state())
    kept = held(small)[:later]
    assert held(resized) == kept
    offer(resized, sum(before), after)
    sample = held(resized)
    assert len({*sample}) == len(sample) <= later
    assert {*sample} <= {*kept, *range(sum(before), sum(before) + sum(after))}


@pytest.mark.parametrize("parts", [[400], [1] * 400, [37] * 10 + [30], [350, 50]])
def test_every_event_is_as_likely_in_a_uniform_sample(parts: list[int]) -> None:
    """Chi-square over twenty ages and 300 samples, at a level of one in a million; the seeds are fixed."""
    counts = np.zeros(400)
    for seed in range(300):
        counts[held(filled(40, parts, seed, biased=False))] += 1
    observed = counts.reshape(20, 20).sum(axis=1)
    expected = 300 * 40 / 20
    assert ((observed - expected) ** 2 / expected).sum() < 70


def test_a_uniform_sample_stays_uniform_across_restarts() -> None:
    """Restarted after every batch, early and late events still have the same chance."""
    counts = np.zeros(400)
    for seed in range(200):
        reservoir = Reservoir(40, 1, 0, seed)
        for first in range(0, 400, 50):
            offer(reservoir, first, [50])
            copy = Reservoir(40, 1, 0, 0)
            copy.restore(reservoir.contents(), reservoir.state())
            reservoir = copy
        counts[held(reservoir)] += 1
    observed = counts.reshape(20, 20).sum(axis=1)
    assert ((observed - 400) ** 2 / 400).sum() < 70
