"""Given weights are published once, before the first event; a store of another network is left alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from service.errors import SnapshotMismatchError
from service.ingest.connect import open_sink
from service.ingest.dead_letters import DeadLetters
from service.learner.admission import require_model
from service.learner.learner import Learner
from service.observer import Observer
from service.settings import Settings
from service.store.lease import Lease
from service.trainer.given import publish_given_weights
from service.trainer.publisher import Publisher
from service.trainer.start import go_on
from tests.examples import settings_of


def own(folder: Path, **model: Any) -> Settings:
    """Return settings of a linear network with weights, everything in one folder."""
    path = folder / "weights.safetensors"
    save_file({"layer.weight": torch.eye(2), "layer.bias": torch.zeros(2)}, path)
    return settings_of(
        source={"embedded": {"path": str(folder / "log.sqlite")}},
        store={"path": str(folder / "store")},
        trainer={"state_path": str(folder / "state")},
        train={"model": {"module": "tests.networks:Linear", "weights": str(path), **model}, "portfolio": None},
    )


@contextmanager
def publishing(settings: Settings) -> Iterator[Publisher]:
    """Yield a publisher that holds the lease."""
    lease = Lease(settings.store.path, "test", 60)
    fence = lease.try_acquire()
    assert fence is not None
    sink = open_sink(settings)
    yield Publisher(settings, lease, fence, DeadLetters(sink, Observer()), Observer())
    sink.close()
    lease.release()


def test_given_weights_are_published_where_there_is_no_model_yet(tmp_path: Path) -> None:
    """Servers find them at once, a trainer goes on from them, and after a restart nothing is published again."""
    settings = own(tmp_path)
    require_model(settings)
    for _ in range(2):
        with publishing(settings) as publisher:
            publish_given_weights(settings, publisher)
            (entry,) = publisher.checkpoints.entries()
            pointer = publisher.checkpoints.latest()
            assert pointer is not None
            assert (pointer.id, pointer.reason) == (entry.id, "first_checkpoint")
            learner = Learner(settings, Observer())
            assert go_on(learner, publisher) == f"at checkpoint {entry.id}, without a snapshot"
            assert set(learner.roles.ids().values()) == {entry.id, None}
            assert learner.trained_until_ms == 0


@pytest.mark.parametrize("change", [{"module": "tests.broken_network:network"}, {"arguments": {"scale": 2.0}}])
def test_a_checkpoint_of_another_network_is_refused_before_anything_is_imported(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    """The trainer says how they differ; the code that the store asks for is not run."""
    other = own(tmp_path)
    require_model(other)
    with publishing(other) as publisher:
        publish_given_weights(other, publisher)
    settings = own(tmp_path, **change)
    with publishing(settings) as publisher, pytest.raises(SnapshotMismatchError, match=next(iter(change))):
        go_on(Learner(settings, Observer()), publisher)
    assert "tests.broken_network" not in sys.modules
