"""An operator's promotion stands until the gate's next one, whatever comes between: restarts, rounds, damage."""

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.store.checkpoints import CheckpointStore
from service.store.pointer import Pointer
from service.store.snapshot import SnapshotStore
from service.train.supervisor import TrainingWorker
from service.trainer.loop import TrainerLoop
from service.trainer.publisher import Publisher
from tests.acceptance.conftest import eventually
from tests.acceptance.ledger_check import ancestry
from tests.acceptance.streams import events
from tests.integration.test_trainer import Make, Running, learnt, make

__all__ = ["make"]


def with_checkpoints(running: Running, count: int) -> list[str]:
    """Start a trainer that publishes every round and return its first checkpoints, oldest first."""
    learnt(running)
    for seed in range(1, count):
        before = running.serving()
        running.send(events(200, seed=seed))
        eventually(lambda before=before: running.serving() != before, "the next checkpoint")
    running.stop()
    assert running.failure is None
    return sorted(entry.id for entry in running.store.entries())


def test_two_promotions_while_no_trainer_ran_end_with_the_second(make: Make) -> None:
    """Neither is taken for a promotion of the gate that a crash had cut off."""
    running = make(gate={"enabled": False})
    first, second, *_ = with_checkpoints(running, 4)
    running.store.point(second, reason="the newer ones misbehave", by="operator")
    running.store.point(first, reason="that one too", by="operator")
    running.start()
    eventually(lambda: running.champion() == first, "the champion to follow")
    assert running.serving() == first
    running.stop()
    assert running.failure is None


def test_a_choice_that_cannot_be_read_leaves_the_champion(make: Make) -> None:
    """Servers answer from another one; the trainer starts all the same, and says so."""
    running = make(gate={"enabled": False})
    first, *_, newest = with_checkpoints(running, 3)
    running.store.point(first, reason="by hand", by="operator")
    (running.folder / "store" / "checkpoints" / first / "model.safetensors").write_bytes(b"nonsense")
    running.start()
    eventually(lambda: running.champion() == newest, "the champion to stay")
    running.stop()
    assert running.failure is None


def test_a_round_in_flight_does_not_overrule_the_operator(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it brings was compared with a champion that is none any more: it is rejected, and told so."""
    running = make(gate={"enabled": False})
    first, *_ = with_checkpoints(running, 3)
    may_go_on, began, noticed = threading.Event(), threading.Event(), threading.Event()
    train, reported = TrainingWorker.run, TrainerLoop._reported

    def run(worker: TrainingWorker, directory: Path) -> Any:
        began.set()
        may_go_on.wait(60)
        return train(worker, directory)

    def note(loop: TrainerLoop, *given: Any) -> None:
        reported(loop, *given)
        if loop._by_hand is not None:
            noticed.set()

    monkeypatch.setattr(TrainerLoop, "_reported", note)
    monkeypatch.setattr(TrainingWorker, "run", run)
    running.start()
    running.send(events(200, seed=9))
    assert began.wait(60)
    running.store.point(first, reason="the newer ones are bad", by="operator")
    assert noticed.wait(60)
    may_go_on.set()

    def told() -> bool:
        return any(entry.get("reason") == "overruled" for entry in running.journal.tail(5))

    eventually(told, "the round to be rejected as overruled")
    eventually(lambda: running.champion() == first, "the champion to follow")
    assert running.serving() == first
    running.stop()
    assert running.failure is None


def test_a_promotion_cut_off_after_an_operators_is_finished(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate's candidate is the child of the operator's choice, so it is the gate's next promotion."""
    running = make(gate={"enabled": False})
    first, *_ = with_checkpoints(running, 3)
    running.store.point(first, reason="by hand", by="operator")
    running.start()
    eventually(lambda: running.champion() == first, "the champion to follow")
    saved = threading.Event()

    def cut_off(_publisher: Publisher, _id: str, _reason: str) -> None:
        saved.set()
        message = "the process dies here"
        raise RuntimeError(message)

    with monkeypatch.context() as dying:
        dying.setattr(Publisher, "point", cut_off)
        running.send(events(200, seed=9))
        assert saved.wait(60)
        running.await_end()
    assert running.serving() == first
    running.start()
    eventually(lambda: running.serving() != first, "the promotion to be finished")
    pointer = running.store.latest()
    assert isinstance(pointer, Pointer)
    assert (pointer.reason, pointer.by) == ("finished_after_restart", "gate")
    running.stop()


def test_behind_a_damaged_champion_the_data_goes_on_without_a_hole(make: Make) -> None:
    """The substitute's child begins where the substitute's data ended, and learns from its weights."""
    running = make(gate={"enabled": False}, store={"keep": 100})
    *_, before, newest = with_checkpoints(running, 3)
    (running.folder / "store" / "checkpoints" / newest / "model.safetensors").write_bytes(b"nonsense")
    running.start()
    eventually(lambda: running.champion() == before, "the one before to take its place")
    running.send(events(200, seed=9))
    eventually(lambda: running.serving() not in (before, newest), "the next checkpoint")
    running.stop()
    spans = ancestry(running.folder / "store")
    assert spans[0]["first"] == 0
    assert all(following["first"] == span["last"] + 1 for span, following in pairwise(spans))


def test_a_round_that_was_rejected_is_in_the_state_after_a_stop(make: Make) -> None:
    """Though no event has come since: what the lineage has learnt, and the count, are saved."""
    running = make(gate={"min_recent_events": 1_000_000, "min_forward_events": 1_000_000})
    running = learnt(running)
    running.send(events(200, seed=1))
    running.await_accepted(600)
    eventually(lambda: running.outcomes().get("rejected", 0) >= 1, "a rejection")
    running.stop()
    rejected = running.outcomes()["rejected"]
    saved = SnapshotStore(running.folder / "state" / "snapshots", {}).load(of_any=True)
    assert saved is not None
    assert saved[1]["outcomes"]["rejected"] == rejected


def test_the_pointer_at_a_start_is_moved_under_the_lease(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer that was superseded while it started moves nothing."""
    running = make(gate={"enabled": False})
    guarded: list[bool] = []
    point = CheckpointStore.point

    def watched(store: CheckpointStore, checkpoint_id: str, **options: Any) -> Pointer:
        guarded.append("guard" in options)
        return point(store, checkpoint_id, **options)

    first, *_ = with_checkpoints(running, 2)
    running.store.point(first, reason="as it was before", by="gate")
    monkeypatch.setattr(CheckpointStore, "point", watched)
    running.start()
    eventually(lambda: running.serving() != first, "the pointer to move on")
    running.stop()
    assert guarded == [True]
