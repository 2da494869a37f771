"""The holdings keep account: every event goes one way, once, and a restart changes nothing."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.records import Examples
from service.settings import Window
from service.store.arrays import pack, unpack
from service.store.canonical import exact_json
from service.window.holdings import Holdings
from service.window.rings import arrays_of
from tests.properties.effort import examples

PARTS = ("window", "replay", "recent", "memory")
sizes = st.lists(st.integers(0, 60), max_size=7)
windows = st.builds(
    Window,
    events=st.integers(10, 40),
    replay_events=st.integers(0, 40),
    holdout_share=st.floats(0.01, 0.5),
    recent_events=st.integers(10, 20),
    memory_events=st.integers(10, 20),
)


def arrivals(first: int, count: int, seed: int) -> Examples:
    """Return events that count up, with keys at random but of their own."""
    order = np.arange(first, first + count)
    keys = np.random.default_rng(seed).permutation(10_000)[order].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return Examples(order[:, None] / 2, np.stack([order % 7], axis=1), order % 2 * 1.0, order + 5, keys)


def admit(held: Holdings, first: int, parts: Sequence[int], seed: int) -> list[int]:
    """Let events in, batch by batch; return the times of those that may be learnt."""
    learnable: list[int] = []
    for size in parts:
        learnable += held.admit(arrivals(first, size, seed)).timestamps_ms.tolist()
        first += size
    return learnable


def through_a_file(held: Holdings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a snapshot as it comes back from disk."""
    arrays, state = held.snapshot()
    return unpack(pack(arrays), "here"), json.loads(exact_json(state))


def contents(held: Holdings) -> dict[str, bytes]:
    """Return every column of every part."""
    return {
        f"{part}.{name}": array.tobytes() for part in PARTS for name, array in arrays_of(getattr(held, part)()).items()
    }


def times(examples_held: Examples) -> list[int]:
    """Return the times by which these tests tell events apart."""
    return examples_held.timestamps_ms.tolist()


@examples(100)
@given(windows, sizes, st.integers(0, 2**31))
def test_each_event_goes_one_way(settings: Window, parts: list[int], seed: int) -> None:
    """Held-out ones into recent and memory only; the window is the newest of the others, replay of those before it."""
    held = Holdings(settings, 1, 1, seed)
    learnable = admit(held, 0, parts, seed)
    apart = sorted({*range(5, 5 + sum(parts))} - {*learnable})
    window = times(held.window())
    assert window == learnable[-settings.events :]
    assert {*times(held.replay())} <= {*learnable[: -settings.events]}
    assert times(held.recent()) == apart[-settings.recent_events :]
    assert {*times(held.memory())} <= {*apart}
    assert held.sizes == (len(window), len(held.replay()), max(len(held.recent()), len(held.memory())))


@examples(60)
@given(windows, sizes, st.integers(0, 2**31))
def test_nothing_is_lost_while_there_is_room(settings: Window, parts: list[int], seed: int) -> None:
    """Window and a replay memory that is large enough hold every learnable event, once."""
    roomy = settings.model_copy(update={"replay_events": 1_000})
    held = Holdings(roomy, 1, 1, seed)
    learnable = admit(held, 0, parts, seed)
    assert sorted([*times(held.window()), *times(held.replay())]) == learnable


@examples(60)
@given(windows, sizes, sizes, st.integers(0, 2**31))
def test_a_restart_changes_nothing(settings: Window, before: list[int], after: list[int], seed: int) -> None:
    """Restored from the bytes of a snapshot, every part is the same, and stays so with what comes later."""
    original = Holdings(settings, 1, 1, seed)
    admit(original, 0, before, seed)
    copy = Holdings(settings, 1, 1, seed + 9)
    copy.restore(*through_a_file(original))
    assert contents(copy) == contents(original)
    ours, theirs = (admit(held, sum(before), after, seed) for held in (original, copy))
    assert ours == theirs
    assert contents(copy) == contents(original)
    assert copy.snapshot()[1] == original.snapshot()[1]


@examples(60)
@given(windows, sizes, st.integers(0, 2**31))
def test_how_events_are_batched_changes_no_part(settings: Window, parts: list[int], seed: int) -> None:
    """One event at a time or all at once: the same window, samples and slices."""
    batched, single = Holdings(settings, 1, 1, seed), Holdings(settings, 1, 1, seed)
    admit(batched, 0, parts, seed)
    admit(single, 0, [1] * sum(parts), seed)
    assert contents(batched) == contents(single)
