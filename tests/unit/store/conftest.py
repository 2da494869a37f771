"""What the store's tests write into it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.store.checkpoints import Checkpoint
from service.store.manifest import DataRange, Manifest

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def make_checkpoint() -> MakeCheckpoint:
    """Return a function that makes a small checkpoint with a given id; its weights depend on the id."""

    def make(checkpoint_id: str, **changes: Any) -> Checkpoint:
        parent = changes.pop("parent", None)
        values: dict[str, Any] = {
            "id": checkpoint_id,
            "round": 1,
            "parent": parent,
            "lineage": parent or checkpoint_id,
            "created_at": "2026-01-31T09:30:00.250Z",
            "trigger": "new_events",
            "data": (DataRange(topic="events", partition=0, first=10, last=99),),
            "hyperparameters": {"steps": 60},
            "schema_fingerprint": "a" * 16,
            "model_fingerprint": "b" * 16,
            "versions": {"torch": "2"},
            "fence": 3,
        }
        number = float(int(checkpoint_id[:6]))
        tensors = {"layer.weight": np.full((3, 4), number, dtype=np.float32), "layer.bias": np.zeros(4)}
        return Checkpoint(Manifest(**{**values, **changes}), tensors, {"mean": [0.5, float("nan")], "labels": ["é"]})

    return make
