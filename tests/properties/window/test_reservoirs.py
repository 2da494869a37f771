"""The reservoirs: bounded samples of what was seen, the same for the same seed, resumed as if never stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.window.reservoirs import Reservoir, UniformReservoir
from service.window.selections import SELECTIONS
from tests.examples import numbered
from tests.properties.effort import examples

sizes = st.lists(st.integers(0, 40), max_size=8)
capacities = st.integers(0, 25)


selections = st.sampled_from([*SELECTIONS])


def filled(capacity: int, parts: list[int], seed: int, selection: str = "uniform") -> Reservoir:
    """Return a reservoir that has seen events 0, 1, 2 and so on, in batches of these sizes."""
    made = SELECTIONS[selection](capacity, 1, 0, seed)
    offer(made, 0, parts)
    return made


def offer(reservoir: Reservoir, first: int, parts: list[int]) -> None:
    """Offer the events from ``first`` on, in batches of these sizes."""
    for size in parts:
        arrived = numbered(first, first + size)
        arrived.targets[:] = arrived.keys * 7 % 10 // 4  # three classes, the last half as common
        reservoir.append(arrived, np.where(arrived.keys % 5, arrived.keys % 3, np.nan))
        first += size


def held(reservoir: Reservoir) -> list[int]:
    """Return which events are held, with all columns of a row still together."""
    rows = reservoir.contents()
    assert rows.keys.tolist() == rows.timestamps_ms.tolist() == rows.numbers[:, 0].tolist()
    assert len(reservoir) == len(rows)
    return rows.keys.tolist()


@examples(150)
@given(capacities, sizes, st.integers(0, 2**31), selections)
def test_a_sample_is_bounded_and_of_what_was_seen(capacity: int, parts: list[int], seed: int, selection: str) -> None:
    """No event twice, none that never arrived; full as soon as it can be, but for the one that fills by chance."""
    sample = held(filled(capacity, parts, seed, selection))
    assert len({*sample}) == len(sample) <= capacity
    assert {*sample} <= {*range(sum(parts))}
    if selection != "recent_biased":
        assert len(sample) == min(capacity, sum(parts))


@examples(80)
@given(capacities, sizes, st.integers(0, 2**31), selections)
def test_the_same_seed_draws_the_same_sample(capacity: int, parts: list[int], seed: int, selection: str) -> None:
    """From the same batches, and one event at a time draws as batches do."""
    one = held(filled(capacity, parts, seed, selection))
    assert one == held(filled(capacity, parts, seed, selection))
    assert one == held(filled(capacity, [1] * sum(parts), seed, selection))


@examples(120)
@given(capacities, sizes, sizes, st.integers(0, 2**31), selections)
def test_a_restored_sample_goes_on_as_if_never_stopped(
    capacity: int, before: list[int], after: list[int], seed: int, selection: str
) -> None:
    """Contents and state are all there is: the copy draws what the original draws."""
    original = filled(capacity, before, seed, selection)
    copy = SELECTIONS[selection](capacity, 1, 0, seed + 1)
    copy.restore(original.contents(), original.state(), original.columns())
    for reservoir in (original, copy):
        offer(reservoir, sum(before), after)
    assert held(copy) == held(original)
    assert copy.state() == original.state()


@examples(120)
@given(capacities, capacities, sizes, sizes, st.integers(0, 2**31), selections)
def test_another_capacity_after_a_restart_keeps_what_fits(
    capacity: int, later: int, before: list[int], after: list[int], seed: int, selection: str
) -> None:
    """A smaller one cuts off, a larger one makes room for arrivals; it stays a sample of what was seen."""
    small = filled(capacity, before, seed, selection)
    resized = SELECTIONS[selection](later, 1, 0, 0)
    resized.restore(small.contents(), small.state(), small.columns())
    kept = held(small)[:later]
    assert held(resized) == kept
    offer(resized, sum(before), after)
    sample = held(resized)
    assert len({*sample}) == len(sample) <= later
    assert {*sample} <= {*kept, *range(sum(before), sum(before) + sum(after))}


@examples(40)
@given(capacities, sizes, sizes, st.integers(0, 2**31), selections, selections)
def test_another_selection_after_a_restart_begins_with_what_was_held(
    capacity: int, before: list[int], after: list[int], seed: int, was: str, becomes: str
) -> None:
    """A sample that another rule drew is offered to the new one, which goes on by its own."""
    old = filled(capacity, before, seed, was)
    new = SELECTIONS[becomes](capacity, 1, 0, seed)
    new.restore(old.contents(), old.state(), old.columns())
    assert {*held(new)} <= {*held(old)}
    if becomes != "recent_biased":
        assert len(new) == len(old)
    offer(new, sum(before), after)
    assert len({*held(new)}) == len(new) <= capacity
    assert new.state()["selection"] == becomes


@pytest.mark.parametrize("parts", [[400], [1] * 400, [37] * 10 + [30], [350, 50]])
def test_every_event_is_as_likely_in_a_uniform_sample(parts: list[int]) -> None:
    """Chi-square over twenty ages and 300 samples, at a level of one in a million; the seeds are fixed."""
    counts = np.zeros(400)
    for seed in range(300):
        counts[held(filled(40, parts, seed))] += 1
    observed = counts.reshape(20, 20).sum(axis=1)
    expected = 300 * 40 / 20
    assert ((observed - expected) ** 2 / expected).sum() < 70


def test_a_uniform_sample_stays_uniform_across_restarts() -> None:
    """Restarted after every batch, early and late events still have the same chance."""
    counts = np.zeros(400)
    for seed in range(200):
        reservoir = UniformReservoir(40, 1, 0, seed)
        for first in range(0, 400, 50):
            offer(reservoir, first, [50])
            copy = UniformReservoir(40, 1, 0, 0)
            copy.restore(reservoir.contents(), reservoir.state(), {})
            reservoir = copy
        counts[held(reservoir)] += 1
    observed = counts.reshape(20, 20).sum(axis=1)
    assert ((observed - 400) ** 2 / 400).sum() < 70
