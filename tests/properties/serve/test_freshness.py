"""Each event is counted once by a server, with the first checkpoint trained on it or later that it answers from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointMissingError, StoreUnavailableError
from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve import freshness
from service.serve.freshness import Freshness
from service.store.checkpoints import CheckpointStore
from service.store.event_times import EventTimes
from service.store.manifest import Learnt, Manifest
from service.store.pointer import Pointer
from tests.properties.effort import examples

START = 1_790_000_000.0


def manifest_of(number: int, after: str | None, stamps: list[int] | None) -> Manifest:
    """Return a checkpoint's manifest; without ``stamps`` it is a former one published anew."""
    name = f"{number:06d}-00000000"
    return Manifest(
        id=name,
        round=number,
        lineage=name,
        created_at="2026-01-31T09:30:00.250Z",
        trigger="new_events",
        learnt=None if stamps is None else Learnt.of(EventTimes.of(np.array(stamps)), after),
        schema_fingerprint="",
        model_fingerprint="",
        fence=1,
    )


class Shelf(CheckpointStore):
    """A store's manifests and pointer in memory."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), 20)
        self.known: dict[str, Manifest] = {}
        self.pointed: str | None = None
        self.away = False
        self.reads = 0

    def manifest(self, checkpoint_id: str) -> Manifest:
        """Return what is known."""
        self.reads += 1
        if self.away:
            raise StoreUnavailableError("away")
        if checkpoint_id not in self.known:
            raise CheckpointMissingError("pruned")
        return self.known[checkpoint_id]

    def latest(self) -> Pointer | None:
        """Return the pointer."""
        if self.away:
            raise StoreUnavailableError("away")
        return self.pointed and Pointer(self.pointed, None, "2026-01-31T09:30:00.250Z", "gate", "better")


class Counted(Observer):
    """Keeps every observation."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def events_served(self, ages_seconds: FloatArray, counts: IntArray) -> None:
        """Keep."""
        self.ages += np.repeat(ages_seconds, counts).tolist()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 4)),
        st.tuples(st.just("publish"), st.integers(0, 4)),
        st.tuples(st.just("restore"), st.just(0)),
        st.tuples(st.just("serve newest"), st.just(0)),
        st.tuples(st.just("serve any"), st.integers(0, 50)),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("store away"), st.just(0)),
        st.tuples(st.just("store back"), st.just(0)),
    ),
    max_size=60,
)


class Run:
    """A server and its store, and beside them the plain model of what must be counted."""

    def __init__(self, *, empty_at_the_start: bool) -> None:
        self.shelf, self.counted = Shelf(), Counted()
        self.freshness = Freshness(self.shelf, self.counted)
        self.open: list[tuple[int, int]] = []  # (checkpoint's number, stamp) of events not served yet
        self.wanted: list[float] = []
        self.empty = empty_at_the_start
        self.began = empty_at_the_start
        self.numbers: list[int] = []
        self.now_ms = int(START * 1_000)
        self.told: str | None = None
        if empty_at_the_start:
            self.freshness.nothing_published()

    def publish(self, stamps: list[int] | None) -> None:
        """Publish a checkpoint."""
        number = len(self.numbers) + 1
        manifest = manifest_of(number, self.told, stamps)
        self.numbers.append(number)
        self.shelf.known[manifest.id], self.shelf.pointed = manifest, manifest.id
        if stamps is not None:
            self.told = manifest.id
            self.open += [(number, stamp) for stamp in stamps]

    def serve(self, number: int) -> None:
        """Serve one that was published."""
        manifest = self.shelf.known[f"{number:06d}-00000000"]
        self.freshness.serves(manifest, self.now_ms / 1_000)
        trained_on = [one for one in self.open if one[0] <= number]
        if not self.began:
            self.began = True
        elif manifest.learnt is not None:
            self.wanted += [(self.now_ms - stamp) / 1_000 for _, stamp in trained_on]
        else:
            return
        self.open = [one for one in self.open if one[0] > number]

    def step(self, what: str, size: int) -> None:
        """Carry a step out."""
        self.now_ms += 1_000
        if what == "publish":
            self.publish([self.now_ms - 900 + 7 * at for at in range(size)])
        elif what == "restore":
            self.publish(None)
        elif what == "serve newest" and self.numbers:
            self.serve(self.numbers[-1])
        elif what == "serve any" and self.numbers:
            self.serve(self.numbers[size % len(self.numbers)])
        elif what == "look":
            self.freshness.settle()
        elif what.startswith("store"):
            self.shelf.away = what == "store away"

    def end(self) -> None:
        """Let the store be there, and all that is due be counted."""
        self.shelf.away = False
        self.freshness.settle()
        assert sorted(np.round(self.counted.ages, 3)) == sorted(np.round(self.wanted, 3))


@examples(300)
@given(steps, st.booleans())
def test_every_event_is_counted_once_and_at_the_right_time(drawn: list[tuple[str, int]], empty: bool) -> None:
    """Whatever is skipped, pinned, promoted by hand or rolled back, and whenever the store is away."""
    run = Run(empty_at_the_start=empty)
    for what, size in drawn:
        run.step(what, size)
    run.end()


def test_what_is_published_while_another_is_pinned_is_counted_though_it_was_pruned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server looks at what it would serve, however long it is held."""
    monkeypatch.setattr(freshness, "NOTICE_SECONDS", 0.0)
    run = Run(empty_at_the_start=True)
    run.step("publish", 2)
    run.step("serve newest", 0)
    for _ in range(600):
        run.step("publish", 3)
        run.freshness.settle()
        run.shelf.known = {run.shelf.pointed or "": run.shelf.known[run.shelf.pointed or ""]}
    run.step("serve newest", 0)
    assert len(run.counted.ages) == 2 + 1_800
    assert np.mean(run.counted.ages) == pytest.approx(np.mean(run.wanted), abs=0.002)  # rounded, and none is lost


def test_a_chain_with_a_hole_is_no_reason_to_stop() -> None:
    """What nobody can know any more goes uncounted, and the newer ones are counted."""
    run = Run(empty_at_the_start=True)
    for _ in range(4):
        run.step("publish", 2)
    del run.shelf.known["000002-00000000"]
    run.freshness.serves(run.shelf.known["000004-00000000"], run.now_ms / 1_000)
    assert len(run.counted.ages) == 4
    run.step("publish", 1)
    run.freshness.serves(run.shelf.known["000005-00000000"], run.now_ms / 1_000)
    assert len(run.counted.ages) == 5


def test_checkpoints_of_an_older_program_are_served_uncounted() -> None:
    """They do not tell; the next one of ours does."""
    run = Run(empty_at_the_start=True)
    run.publish(None)
    run.serve(1)
    run.step("publish", 2)
    run.serve(2)
    run.end()
    assert len(run.counted.ages) == 2
