"""Publishes checkpoints of ever different weights into a store, as a trainer would, in a process of its own."""

import multiprocessing
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from made import KEPT, TOLERANCE, Instances, right_scores

from service.model.learned import LearnedModel
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.clock import utc_text
from service.store.manifest import fresh_id
from service.store.pointer import GATE

SPREAD = 0.1
"""Weights are multiplied by about 1 ± this, so that the scores of two checkpoints differ clearly."""

TOLD_APART = 0.9
"""Share of instances whose scores two neighbouring checkpoints differ in; a few happen to agree, of half a million."""


def perturbed(first: Checkpoint, number: int) -> Checkpoint:
    """Return the ``number``-th child of a checkpoint: other weights, the same encoder and shares."""
    drawn = np.random.default_rng(number)
    tensors = {
        name: (array * drawn.normal(1.0, SPREAD, array.shape)).astype(array.dtype) if name != "mixture" else array
        for name, array in first.tensors.items()
    }
    changed: dict[str, Any] = {"id": fresh_id(number), "round": number, "parent": first.manifest.id}
    return Checkpoint(first.manifest.model_copy(update=changed), tensors, first.encoder)


def tabled(checkpoints: list[Checkpoint], instances: Instances) -> dict[str, Instances]:
    """Return the scores [instances, labels] of each checkpoint, by id; nearly each row tells neighbours apart."""
    table = {
        one.manifest.id: right_scores(LearnedModel.from_parts(one.tensors, one.encoder), instances)
        for one in checkpoints
    }
    scores = list(table.values())
    for before, after in pairwise(scores):
        told = np.abs(before - after).max(axis=1) > 2 * TOLERANCE
        assert told.mean() > TOLD_APART, "two checkpoints cannot be told apart"
    return table


class Publisher:
    """A process that publishes the next checkpoint of a list at each ``publish``, on the core of its maker."""

    def __init__(self, store: Path, checkpoints: list[Checkpoint]) -> None:
        self.asked = 0
        # Not forked: this process may have threads of torch.
        context = multiprocessing.get_context("spawn")
        theirs, self._ours = context.Pipe(duplex=False)
        self._process = context.Process(target=_publish, args=(theirs, store, checkpoints), daemon=True)
        self._process.start()
        theirs.close()

    def publish(self) -> None:
        """Ask for the next one, without waiting for it."""
        self.asked += 1
        self._ours.send_bytes(b"next")

    def close(self) -> None:
        """Wait until all that was asked for is published."""
        self._ours.close()
        self._process.join()
        assert self._process.exitcode == 0, "publishing failed"


def _publish(asked: Connection, store: Path, checkpoints: list[Checkpoint]) -> None:
    published = CheckpointStore(store, KEPT)
    for checkpoint in checkpoints:
        try:
            asked.recv_bytes()
        except EOFError:
            return
        manifest = checkpoint.manifest.model_copy(update={"created_at": utc_text(time.time())})
        published.write(Checkpoint(manifest, checkpoint.tensors, checkpoint.encoder))
        published.point(manifest.id, reason="benchmark", by=GATE)
        published.prune()
