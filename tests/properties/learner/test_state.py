"""A learner that was stopped and restored goes on as if it had never stopped, wherever it was cut."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.state import capture, restore
from service.records import Partition
from service.store.arrays import pack, unpack
from service.store.canonical import exact_json
from service.train.fit import train_round
from tests.examples import learner_of, separable
from tests.properties.effort import examples

HERE = Partition("events", 0)
Step = tuple[str, int, int]
Published = dict[str, Standing]

WITH_EVIDENCE: list[Step] = [
    ("events", 10, 1),
    ("round", 0, 0),
    ("only refused", 3, 0),
    ("round", 0, 0),
    ("events", 60, 3),
]
"""The second round has too little to be judged by: its model is not the serving one, and events compare the two."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("events"), st.integers(1, 60), st.integers(0, 999)),
        st.tuples(st.just("flipped events"), st.integers(1, 60), st.integers(0, 999)),
        st.tuples(st.just("only refused"), st.integers(1, 5), st.just(0)),
        st.tuples(st.just("round"), st.just(0), st.just(0)),
        st.tuples(st.just("failed round"), st.just(0), st.just(0)),
    ),
    max_size=10,
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Compute as the trainer does; on a busy machine more threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fresh() -> Learner:
    """Return a small learner that decides on little evidence."""
    return learner_of(
        window={"events": 50, "replay_events": 40, "holdout_share": 0.3, "recent_events": 20, "memory_events": 15},
        train={"first_steps": 4, "steps": 2, "batch_size": 16, "model": {"hidden": [4]}},
        gate={"min_forward_events": 10, "min_recent_events": 5, "min_class_events": 3},
    )


def take(learner: Learner, step: Step, published: Published) -> object:
    """Carry one step out; return what was decided."""
    what, size, seed = step
    if what == "round" and learner.holdings.sizes[0]:
        outcome = train_round(learner.begin_round("new_events", 0.0))
        decision, candidate = learner.conclude(replace(outcome, cpu_seconds=0.5))  # measured, no two are alike
        if candidate is not None:
            learner.adopt(candidate, f"{learner.counts['rounds']:06d}-aaaaaaaa")
            assert learner.roles.champion is not None
            published[learner.roles.champion.checkpoint_id] = learner.roles.champion
        return decision.decision, decision.reason
    if what == "failed round" and learner.holdings.sizes[0]:
        learner.begin_round("new_events", 0.0)
        learner.abandon(diverged=True)
    if "events" in what or what == "only refused":
        accepted = 0 if what == "only refused" else size
        first = learner.positions.get(HERE, 0)
        offsets = np.arange(first, first + size + (accepted > 0))
        refused = [*range(accepted, len(offsets))]
        arrived = separable(accepted, seed=seed, flipped=what == "flipped events")
        learner.take_in(HERE, offsets, refused, arrived)
    return None


def state(learner: Learner) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a learner's state as a snapshot gives it back; what the ledger is owed is handed out before."""
    learner.settle()
    arrays, meta = capture(learner)
    return unpack(pack(arrays), "here"), json.loads(exact_json(meta))


def restored(saved: tuple[dict[str, Any], dict[str, Any]], published: Published) -> Learner:
    """Return a new learner that goes on from a state."""
    made = fresh()
    restore(made, *saved, published.get)
    return made


def told(learner: Learner) -> tuple[dict[str, bytes], bytes]:
    """Return a learner's whole state in a form that can be compared to the last bit."""
    arrays, meta = state(learner)
    # Looked at directly: what is forgotten to be saved must show.
    for name, lineage in learner.portfolio.lineages.items():
        arrays |= {
            f"{name}.{key}": array for held in (lineage.weights or {}, lineage.moments) for key, array in held.items()
        }
    meta |= {
        "live shares": learner.portfolio.by_name(),
        "live evidence": learner.evidence.to_json(),
        "live means": learner.prequential.means(),
    }
    return {name: array.tobytes() for name, array in arrays.items()}, exact_json(meta)


@examples(25)
@example(WITH_EVIDENCE, WITH_EVIDENCE)
@given(steps, steps)
def test_a_restored_learner_is_the_original_and_stays_so(before: Sequence[Step], after: Sequence[Step]) -> None:
    """The same decisions, weights, samples, counters and positions, for any stream and any rounds."""
    original, published = fresh(), {}
    for step in before:
        take(original, step, published)
    copy = restored(state(original), published)
    assert told(copy) == told(original)
    for step in after:
        assert take(copy, step, dict(published)) == take(original, step, published)
        assert told(copy) == told(original)


@examples(15)
@given(steps)
def test_stopping_after_every_step_changes_nothing(all_steps: Sequence[Step]) -> None:
    """As often as it may crash."""
    steady, published = fresh(), {}
    interrupted, known = fresh(), {}
    for step in all_steps:
        assert take(steady, step, published) == take(interrupted, step, known)
        interrupted = restored(state(interrupted), known)
    assert told(interrupted) == told(steady)


@examples(15)
@given(steps)
def test_every_offset_is_counted_once(all_steps: Sequence[Step]) -> None:
    """Accepted and refused add up to the position, and window, replay and held-out slices hold accepted events only."""
    learner, published = fresh(), {}
    for step in all_steps:
        take(learner, step, published)
        assert learner.counts["accepted"] + learner.counts["refused"] == learner.positions.get(HERE, 0)
        window, replay, _ = learner.holdings.sizes
        assert window + replay <= learner.counts["accepted"]
        apart = {*learner.holdings.recent().keys.tolist(), *learner.holdings.memory().keys.tolist()}
        assert not apart & {*learner.holdings.window().keys.tolist(), *learner.holdings.replay().keys.tolist()}


def test_the_named_stream_does_gather_evidence() -> None:
    """Else it would show nothing about what is saved of it."""
    learner, published = fresh(), {}
    for step in WITH_EVIDENCE:
        take(learner, step, published)
    assert learner.evidence.sums("main").events == 60
