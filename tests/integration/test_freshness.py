"""Trainer, store and server together: every learnable event is counted once when it is first served."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.predictor import Predictor
from service.serve.watcher import Watcher
from service.store.fates import read_fates
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.integration.test_trainer import Running

BATCHES, SIZE = 6, 200


class Counting(Observer):
    """Adds up the events that are served for the first time."""

    def __init__(self) -> None:
        self.events = 0

    def events_served(self, ages_seconds: FloatArray, counts: IntArray) -> None:
        """Add; ages are those of a test that runs now."""
        assert (ages_seconds >= 0).all()
        assert (ages_seconds < 600).all()
        self.events += int(counts.sum())


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Running]:
    """Return a trainer that publishes every round, stopped at the end."""
    running = Running(tmp_path, gate={"enabled": False})
    yield running
    running.stop()


@pytest.mark.parametrize("passes_over", [False, True])
def test_every_learnable_event_is_counted_once(trainer: Running, passes_over: bool) -> None:
    """Over a restart of the trainer, by a server that looks at every checkpoint and by one that sees the last alone."""
    counted = Counting()
    watcher = Watcher(trainer.settings, trainer.store, Predictor(), counted)
    watcher.look()  # nothing is published yet
    rows = events(BATCHES * SIZE)
    trainer.start()
    for batch in range(BATCHES):
        if batch == BATCHES // 2:
            trainer.stop()
            trainer.start()
        before = trainer.serving()
        trainer.send(rows[batch * SIZE : (batch + 1) * SIZE])
        eventually(lambda before=before: trainer.serving() != before, "the next checkpoint")
        if not passes_over:
            watcher.look()
    trainer.stop()
    watcher.look()
    serving = trainer.serving()
    assert serving is not None
    follows = trainer.store.manifest(serving).follows[0].offset
    fates = read_fates(trainer.folder / "state")
    assert fates is not None
    [runs] = fates.runs.values()
    learnable = sum(max(min(run.last + 1, follows) - run.first, 0) for run in runs if run.fate == "learnable")
    assert follows >= (BATCHES - 1) * SIZE
    assert counted.events == learnable
