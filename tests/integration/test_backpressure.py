"""When one stage cannot keep up with the one before it: memory stays bounded, and nothing is dropped silently."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import service.trainer
from service.errors import RoundFailedError, SourceUnavailableError
from service.ingest.connect import open_sink
from service.ingest.source import EventSink
from service.records import Header
from service.settings import Settings
from service.store.fates import Fates, read_fates
from service.store.status import read_status
from service.train.supervisor import TrainingWorker
from service.trainer.intake import RECORD_BYTES
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.integration.test_trainer import Make, Running, make

__all__ = ["make"]


def fates_of(running: Running) -> Fates:
    """Return what the stopped trainer's state knows of every offset."""
    found = read_fates(running.folder / "state")
    assert found is not None
    assert not list(found.without_fate())
    assert not list(found.twice())
    return found


def test_a_window_that_waits_loses_nothing_unlearnt(make: Make) -> None:
    """`window.overflow: wait`: a backlog of ten windows is trained on to the last event, a round at a time."""
    running = make(window={"events": 300, "overflow": "wait"})
    running.send(events(3_000))
    running.start()
    running.await_accepted(3_000)
    running.stop()
    assert running.failure is None
    found = fates_of(running).events()
    assert found["evicted_unlearnt"] == 0
    assert found["learnable"] + found["held_out"] == 3_000


def test_a_window_that_evicts_counts_what_it_lost(make: Make) -> None:
    """The default: the newest events are learnt, and the state tells which were not."""
    running = make(window={"events": 300})
    running.send(events(3_000))
    running.start()
    running.await_accepted(3_000)
    running.stop()
    assert running.failure is None
    found = fates_of(running).events()
    assert found["evicted_unlearnt"] > 0
    assert sum(found.values()) == 3_000
    status = read_status(running.folder / "store")
    assert status is not None
    assert 0 < status["events"]["evicted_unlearnt"] <= found["evicted_unlearnt"]


class DownSink:
    """A real sink behind a door that the test opens."""

    def __init__(self, settings: Settings, door: threading.Event) -> None:
        self._sink: EventSink = open_sink(settings)
        self._door = door

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[Header] = ()
    ) -> None:
        """Queue a record."""
        self._sink.send(topic, value, key=key, headers=headers)

    def flush(self, timeout_seconds: float = 30.0) -> Mapping[int, str]:
        """Fail while the door is closed."""
        if not self._door.is_set():
            message = "the dead letters do not answer"
            raise SourceUnavailableError(message)
        return self._sink.flush(timeout_seconds)

    def close(self) -> None:
        """Close the real one."""
        self._sink.close()


def test_refused_records_wait_in_bounded_memory_while_dead_letters_are_down(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polling stops at `trainer.refused_bytes`, the reason is said, and later every record is among the letters."""
    door = threading.Event()
    monkeypatch.setattr(service.trainer, "open_sink", lambda settings: DownSink(settings, door))
    running = make(source={"poll_events": 50}, trainer={"refused_bytes": 2**16})
    rows: list[dict[str, Any]] = events(3_000)
    for row in rows:
        row["label"] = "perhaps"
    running.send(rows)
    running.start()
    eventually(lambda: "dead letters" in (running.readiness() or ""), "readiness to name the dead letters")
    eventually(lambda: running.refused() > 0, "the status to tell of refused records")
    threading.Event().wait(1.0)
    fit = 2**16 // RECORD_BYTES
    assert running.refused() <= fit + 2 * 50
    door.set()
    eventually(lambda: running.refused() == 3_000, "all records to be refused")
    eventually(lambda: running.readiness() is None, "the trainer to be ready again")
    running.stop()
    assert running.failure is None
    assert fates_of(running).events()["dead_lettered"] == 3_000
    assert running.letters() == 3_000


def test_training_that_keeps_failing_is_paused_and_consumption_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker opens, says so, and closes once a round succeeds again."""
    broken = threading.Event()
    broken.set()
    train = TrainingWorker.run

    def run(worker: TrainingWorker, directory: Path) -> Any:
        if broken.is_set():
            message = "the loss is NaN"
            raise RoundFailedError(message, "not_finite")
        return train(worker, directory)

    monkeypatch.setattr(TrainingWorker, "run", run)
    running = make(train={"worker": {"breaker_failures": 2, "breaker_seconds": 0.5}})
    running.start()
    running.send(events(400))

    def paused() -> str | None:
        told = running.readiness() or ""
        return told if "training is paused" in told else None

    said = eventually(paused, "the pause")
    assert "the loss is NaN" in said
    assert "consumption goes on" in said
    eventually(lambda: (read_status(running.folder / "store") or {}).get("state") == "paused", "the status to say so")
    running.send(events(400, seed=1))
    running.await_accepted(800)
    assert running.serving() is None
    broken.clear()
    eventually(running.serving, "a first checkpoint once rounds succeed again")
    eventually(lambda: running.readiness() is None, "the trainer to be ready again")
    with suppress(FileNotFoundError):
        assert (read_status(running.folder / "store") or {})["rounds"]["failed"] >= 2
