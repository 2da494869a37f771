"""The trainer's loop on a real embedded log, store and worker: what it does when something is in its way."""

import fcntl
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.errors import SnapshotMismatchError, StoreError
from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.metrics import TrainerObserver
from service.records import Partition
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.store.course import read_course
from service.store.journal import Journal
from service.store.lease import LOCK
from service.store.status import read_status
from service.trainer import Readiness, learn, loop
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.trainer_status import members
from tests.trainer_status import status as healthy


class Running:
    """A trainer in a thread of this process, on a folder that outlives it."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        tree: dict[str, Any] = {
            "schema": {"numeric": ["a", "b"], "labels": ["no", "yes"]},
            "source": {"embedded": {"path": str(folder / "log.sqlite")}},
            "window": {"events": 300},
            "trigger": {"every_events": 200},
            "train": {"steps": 10, "first_steps": 50, "model": {"hidden": [8]}},
            "store": {"path": str(folder / "store")},
            "trainer": {"state_path": str(folder / "state"), "snapshot_seconds": 0.2, "status_seconds": 0.1},
        }
        for name, values in sections.items():
            tree[name] = {**tree.get(name, {}), **values}
        self.settings = Settings.model_validate(tree)
        self.store = CheckpointStore(folder / "store", 20)
        self.journal = Journal(folder / "store" / "decisions.jsonl")
        self.failure: Exception | None = None
        self.readiness = Readiness()
        self.observer = TrainerObserver("binary")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the trainer; what an earlier one said about itself goes."""
        (self.folder / "store" / "status.json").unlink(missing_ok=True)
        self._stop, self.readiness = threading.Event(), Readiness()
        self._thread = threading.Thread(target=self._learn)
        self._thread.start()

    def stop(self) -> None:
        """Stop it and wait for its end; what ended it, if anything did, is in ``failure``."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def await_end(self) -> Exception | None:
        """Wait until the trainer has ended by itself, and return why."""
        assert self._thread is not None
        self._thread.join(60)
        return self.failure

    def send(self, rows: list[dict[str, Any]]) -> None:
        """Append events to the log."""
        sink = EmbeddedSink(self.settings.source.embedded.path)
        for row in rows:
            features = {name: row[name] for name in ("a", "b")}
            sink.send("events", json.dumps({"id": row["id"], "features": features, "label": row["label"]}).encode())
        sink.flush()
        sink.close()

    def accepted(self) -> int:
        """Return how many events the trainer has accepted over its life."""
        status = read_status(self.folder / "store") or {}
        return int(status.get("events", {}).get("accepted", 0))

    def refused(self) -> int:
        """Return how many records the trainer has refused over its life."""
        status = read_status(self.folder / "store") or {}
        return int(status.get("events", {}).get("refused", 0))

    def outcomes(self) -> dict[str, int]:
        """Return how the trainer's rounds have ended over its life."""
        status = read_status(self.folder / "store") or {}
        return dict(status.get("rounds", {}))

    def letters(self) -> int:
        """Return how many dead letters there are."""
        source = EmbeddedSource(self.settings.source.embedded.path, ["events.dlq"], "test")
        try:
            return source.ends().get(Partition("events.dlq", 0), 0)
        finally:
            source.close()

    def metric(self, name: str) -> float:
        """Return a metric that has no labels."""
        value = self.observer.registry.get_sample_value(name)
        assert value is not None
        return value

    def await_accepted(self, count: int) -> None:
        """Wait until so many are accepted."""
        eventually(lambda: self.accepted() == count, f"{count} accepted events")

    def serving(self) -> str | None:
        """Return the checkpoint that serves."""
        pointer = self.store.latest()
        return pointer.id if pointer else None

    def champion(self) -> str | None:
        """Return the checkpoint that the trainer holds to be the champion."""
        status = read_status(self.folder / "store") or {}
        found: str | None = status.get("roles", {}).get("champion")
        return found

    def _learn(self) -> None:
        try:
            learn(self.settings, self.observer, self._stop, self.readiness)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error


Make = Callable[..., Running]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a maker of trainers on one folder; all are stopped at the end."""
    made: list[Running] = []

    def one(**sections: Any) -> Running:
        made.append(Running(tmp_path, **sections))
        return made[-1]

    yield one
    for running in made:
        running.stop()


def learnt(running: Running) -> Running:
    """Start the trainer and return it with a first checkpoint and a state saved."""
    running.start()
    running.send(events(400))
    running.await_accepted(400)
    eventually(running.champion, "a first checkpoint, by which the trainer predicts what comes next")
    return running


def put_in_the_way(folder: Path) -> Path:
    """Put a file where a folder was, and return where the folder is now; a trainer may make another one meanwhile."""
    away = folder.rename(folder.with_name(f"{folder.name}-away"))
    while True:
        with suppress(IsADirectoryError):
            folder.write_text("in the way")
            return away
        shutil.rmtree(folder, ignore_errors=True)


def put_back(away: Path, folder: Path) -> None:
    """Put a folder back in place of the file; a trainer may make another one meanwhile."""
    folder.unlink()
    while True:
        with suppress(OSError):
            away.rename(folder)
            return
        shutil.rmtree(folder, ignore_errors=True)


def test_the_course_of_the_scores_survives_a_restart(make: Make) -> None:
    """What a trainer adds to the store follows on what the one before it has left there."""
    running = learnt(make())
    running.send(events(100, seed=1))
    eventually(lambda: len(read_course(running.store.path)), "a first point")
    running.stop()
    before = read_course(running.store.path)
    running.start()
    running.send(events(100, seed=2))
    running.await_accepted(600)
    eventually(lambda: len(read_course(running.store.path)) > len(before), "another point")
    after = read_course(running.store.path)
    assert after.at_ms[: len(before)] == before.at_ms
    assert after.champion[: len(before)] == before.champion
    assert after.events == sorted(after.events)
    status = read_status(running.store.path) or {}
    assert status["worker"]["restarts"] == {"crash": 0, "hang": 0, "deadline": 0}
    assert status["prequential_events"] == min(after.events[-1], 300)
    assert set(members(healthy())) <= set(members(status)), (
        "what the status page is tested with is what a trainer writes"
    )


def test_an_operators_promotion_is_taken_over_while_it_runs(make: Make) -> None:
    """The pointer moved by hand makes that checkpoint the champion, against which challengers are judged."""
    running = learnt(make(gate={"enabled": False}))
    first = running.serving()
    assert first is not None
    running.send(events(200, seed=1))
    eventually(lambda: running.serving() != first, "a second checkpoint")
    running.store.point(first, reason="the newer one misbehaves", by="operator")
    eventually(lambda: running.champion() == first, "the champion to follow")
    running.stop()
    assert running.failure is None


def test_an_operators_promotion_is_taken_over_at_the_next_start(make: Make) -> None:
    """Also when no trainer ran at the time."""
    running = learnt(make(gate={"enabled": False}))
    first = running.serving()
    assert first is not None
    running.send(events(200, seed=1))
    eventually(lambda: running.serving() != first, "a second checkpoint")
    running.stop()
    running.store.point(first, reason="the newer one misbehaves", by="operator")
    running.start()
    eventually(lambda: running.champion() == first, "the champion to follow")
    assert running.serving() == first


def test_a_promotion_cut_off_before_its_pointer_is_finished_at_the_next_start(make: Make) -> None:
    """The snapshot names a champion that nothing points to: the pointer is moved."""
    running = learnt(make(gate={"enabled": False}))
    pointer = running.folder / "store" / "latest"
    before = pointer.read_bytes()
    first = running.serving()
    running.send(events(200, seed=1))
    eventually(lambda: running.serving() != first, "a second checkpoint")
    running.stop()
    second = running.serving()
    pointer.write_bytes(before)
    assert running.serving() == first
    running.start()
    eventually(lambda: running.serving() == second, "the pointer to move on")


def test_a_pointer_ahead_of_the_snapshot_is_an_orphan_and_said_to_be_one(make: Make) -> None:
    """With the newest snapshots gone, what serves is newer than the state: it may serve, and nothing learns from it."""
    running = learnt(make(gate={"enabled": False}))
    running.stop()
    state, kept = running.folder / "state" / "snapshots", running.folder / "kept"
    shutil.copytree(state, kept)
    old = running.serving()
    running.start()
    running.send(events(300, seed=1))
    eventually(lambda: running.serving() != old, "a second checkpoint")
    running.stop()
    newer = running.serving()
    shutil.rmtree(state)
    kept.rename(state)
    running.settings = running.settings.model_copy(
        update={"trigger": running.settings.trigger.model_copy(update={"every_events": 10_000})}
    )
    running.start()
    running.await_accepted(700)
    assert running.serving() == newer
    assert running.champion() == old
    assert any(entry["event"] == "orphaned" and entry["checkpoint"] == newer for entry in running.journal.tail(10))


def test_a_state_that_cannot_be_saved_is_said_and_saved_later(make: Make) -> None:
    """Consumption goes on, readiness names the trouble, and nothing is lost once the disk is back."""
    running = learnt(make(trigger={"every_events": 10_000, "every_seconds": 1, "min_events": 400}))
    snapshots = running.folder / "state" / "snapshots"
    away = put_in_the_way(snapshots)
    running.send(events(100, seed=1))
    running.await_accepted(500)
    assert "snapshots" in eventually(running.readiness, "readiness to name the trouble")
    put_back(away, snapshots)
    eventually(lambda: running.readiness() is None, "the trainer to be well again")
    running.stop()
    again = make()
    again.start()
    again.await_accepted(500)
    assert sum((read_status(again.folder / "store") or {})["positions"].values()) == 500


def test_what_alerts_ask_is_told(make: Make) -> None:
    """Who learns, when the store last answered, and for how long the state has waited to be saved."""
    running = make()
    assert running.metric("freshet_lease_held") == 0
    running.start()
    running.send(list(events(50)))
    running.await_accepted(50)
    assert running.metric("freshet_lease_held") == 1
    reached = running.metric("freshet_store_last_reached_timestamp_seconds")
    eventually(lambda: running.metric("freshet_store_last_reached_timestamp_seconds") > reached, "another answer")
    snapshots = running.folder / "state" / "snapshots"
    away = put_in_the_way(snapshots)
    running.send(list(events(50)))
    eventually(lambda: running.metric("freshet_snapshot_overdue_seconds") > 0.5, "the state to be overdue")
    put_back(away, snapshots)
    eventually(lambda: running.metric("freshet_snapshot_overdue_seconds") == 0, "the state to be saved")
    running.stop()
    assert running.metric("freshet_lease_held") == 0


def test_a_store_that_takes_no_checkpoint_costs_rounds_and_no_more(make: Make) -> None:
    """The candidate is dropped, the round counted as failed, the champion stays; later rounds publish again."""
    running = learnt(make(gate={"enabled": False}))
    first = running.serving()
    checkpoints = running.folder / "store" / "checkpoints"
    away = put_in_the_way(checkpoints)
    running.send(events(200, seed=1))
    running.await_accepted(600)
    eventually(
        lambda: (read_status(running.folder / "store") or {})["rounds"]["failed"] >= 1, "the round to be counted"
    )
    put_back(away, checkpoints)
    running.send(events(400, seed=2))
    eventually(lambda: running.serving() != first, "a checkpoint to be published again")
    running.stop()
    assert running.failure is None


def damage(running: Running, name: str) -> None:
    """Flip a bit in a checkpoint's weights."""
    weights = running.folder / "store" / "checkpoints" / name / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))


def test_a_damaged_champion_is_replaced_by_the_one_before(make: Make) -> None:
    """Detected by its digest at the start; learning goes on from what serves in its place."""
    running = learnt(make(gate={"enabled": False}))
    first = running.serving()
    running.send(events(200, seed=1))
    eventually(lambda: running.serving() != first, "a second checkpoint")
    running.stop()
    second = running.serving()
    assert second is not None
    damage(running, second)
    running.start()
    eventually(lambda: running.champion() == first, "the one before to be champion")
    running.send(events(200, seed=2))
    eventually(lambda: running.serving() not in (first, second), "learning to go on")


def test_a_lost_champion_without_substitute_is_one_clear_error(make: Make) -> None:
    """With not one whole checkpoint left there is nothing to go on from."""
    running = learnt(make())
    running.stop()
    name = running.serving()
    assert name is not None
    damage(running, name)
    running.start()
    failure = running.await_end()
    assert isinstance(failure, StoreError)
    assert name in str(failure)


def test_a_damaged_pointer_is_written_anew(make: Make) -> None:
    """While the trainer runs it is a trouble that is told; the next start, or promotion, mends it."""
    running = learnt(make())
    name = running.serving()
    pointer = running.folder / "store" / "latest"
    pointer.write_text("nonsense")
    assert "latest" in eventually(running.readiness, "readiness to name the trouble")
    running.stop()
    assert running.failure is None
    running.start()
    eventually(lambda: running.readiness() is None, "the trainer to be well")
    assert running.serving() == name


def test_a_checkpoint_of_another_network_is_refused_without_a_snapshot_too(make: Make) -> None:
    """Moving the state away does not let a model of other columns or layers be learnt on."""
    running = learnt(make())
    running.stop()
    shutil.rmtree(running.folder / "state")
    for sections in (
        {"train": {"model": {"hidden": [9]}}},
        {"schema": {"numeric": ["b", "a"], "labels": ["no", "yes"]}},
    ):
        other = make(**sections)
        other.start()
        failure = other.await_end()
        assert isinstance(failure, SnapshotMismatchError)
        assert "put the configuration back" in str(failure)
    again = make()
    again.start()
    eventually(lambda: again.champion() == running.serving(), "the same configuration to go on")


def test_rounds_that_lose_their_folder_cost_nothing_more(make: Make) -> None:
    """Somebody tidies up state/rounds by hand while the trainer runs."""
    running = learnt(make(gate={"enabled": False}))
    first = running.serving()
    shutil.rmtree(running.folder / "state" / "rounds")
    running.send(events(200, seed=1))
    eventually(lambda: running.serving() != first, "the next round to be published")


def test_a_state_of_another_schema_is_refused(make: Make) -> None:
    """Nothing of it is read into a learner of other columns."""
    learnt(make()).stop()
    other = make(schema={"numeric": ["a"], "labels": ["no", "yes"]})
    other.start()
    assert isinstance(other.await_end(), SnapshotMismatchError)


def test_refused_records_are_dead_letters_before_the_state_moves_past_them(make: Make) -> None:
    """They are to be read from the dead-letter topic, each once."""
    running = learnt(make())
    sink = EmbeddedSink(running.settings.source.embedded.path)
    for value in (b"no json", b"{}", None):
        sink.send("events", value)
    sink.flush()
    eventually(lambda: (read_status(running.folder / "store") or {})["events"]["refused"] == 3, "three refusals")
    letters = EmbeddedSource(running.settings.source.embedded.path, ["events.dlq"], "test")
    batches = eventually(lambda: letters.poll(10, 0.1) or None, "the dead letters")
    reasons = [dict(headers)["freshet-reason"] for batch in batches for headers in batch.headers]
    assert reasons == [b"not_json", b"missing_feature", b"tombstone"]
    letters.close()
    sink.close()


def test_a_standby_waits_for_a_lock_that_a_stopped_trainer_keeps(make: Make) -> None:
    """It says so in its readiness, and begins once the lock is free."""
    running = make()
    (running.folder / "store").mkdir()
    with (running.folder / "store" / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running.start()
        eventually(lambda: "locked by another process" in (running.readiness() or ""), "readiness to name the lock")
    eventually(lambda: running.readiness() is None, "the trainer to begin")
    running.stop()
    assert running.failure is None


def test_a_loop_that_hangs_is_neither_alive_nor_ready(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever watches it starts it anew; one that waits for events is both."""
    trainer = make()
    trainer.start()
    trainer.send(events(300))
    trainer.await_accepted(300)
    eventually(lambda: trainer.readiness() is None, "readiness")
    assert trainer.readiness.alive() is None
    hangs, goes_on = threading.Event(), threading.Event()
    poll = EmbeddedSource.poll

    def hang(*given: Any) -> Any:
        hangs.set()
        goes_on.wait(60)
        return poll(*given)

    monkeypatch.setattr(loop, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(EmbeddedSource, "poll", hang)
    assert hangs.wait(60)
    eventually(lambda: "the trainer hangs" in str(trainer.readiness.alive()), "word that it hangs")
    assert "the trainer hangs" in str(trainer.readiness())
    monkeypatch.setattr(loop, "STUCK_SECONDS", 120.0)
    monkeypatch.setattr(EmbeddedSource, "poll", poll)
    goes_on.set()
    assert (trainer.readiness(), trainer.readiness.alive()) == (None, None)
