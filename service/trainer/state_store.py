"""The trainer's state on disk: snapshots, and the ledger of settled fates that each of them counts on."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.learner.runs import Runs, joined
from service.learner.state import capture
from service.observer import Observer
from service.records import Partition
from service.settings import Trainer
from service.store.arrays import Arrays
from service.store.lease import Lease
from service.store.ledger import LEDGER, Ledger, Place
from service.store.snapshot import SNAPSHOTS, SnapshotStore

State = tuple[Arrays, dict[str, Any], tuple[list[Partition], Runs]]
"""Arrays and plain values of a snapshot, and the fates that were settled since the one before."""


def state_of(learner: Learner, promoting: tuple[Candidate, str] | None = None) -> State:
    """Return what is to be saved of a learner, copied; see ``learner.state.capture``."""
    settled = learner.settle()
    return *capture(learner, promoting), settled


class StateStore:
    """Saves states under ``path``; for the holder of the lease whose fencing number is ``fence``."""

    def __init__(
        self, settings: Trainer, identity: Mapping[str, Any], lease: Lease, fence: int, observer: Observer
    ) -> None:
        self.path: Path = settings.state_path
        self._snapshots = SnapshotStore(self.path / SNAPSHOTS, identity)
        self._ledger = Ledger(self.path / LEDGER, settings.ledger_bytes)
        self._lease = lease
        self._fence = fence
        self._observer = observer
        self._settled = Runs.concatenate([])
        self._saves = 0

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """Return the newest whole snapshot, None if there never was one; raises as SnapshotStore.load does."""
        return self._snapshots.load()

    def go_on(self, saved: tuple[Arrays, dict[str, Any]] | None) -> None:
        """Write behind a loaded snapshot from now on; what a crashed predecessor left half-written goes."""
        self._snapshots.sweep()
        self._ledger.go_on(Place(*saved[1].get("ledger", ())) if saved is not None else Place(), self._fence)

    def note(self, state: State) -> None:
        """Take over what the learner no longer knows, before anything can fail: the next save writes it then."""
        self._settled = joined(Runs.concatenate([self._settled, state[2][1]]))

    def save(self, state: State) -> None:
        """Save a noted state, durable once this returns: its settled fates first, then the snapshot that names them.

        Raises StoreUnavailableError, after which a later state may be saved, SnapshotMismatchError and LeaseLostError.
        """
        began = time.perf_counter()
        arrays, meta, (partitions, _) = state
        runs = self._settled
        self._lease.check()
        place = self._ledger.append(partitions, (runs.sources, runs.fates, runs.first, runs.last))
        self._settled = Runs.concatenate([])
        self._snapshots.save(arrays, meta | {"ledger": place}, fence_check=self._lease.check)
        self._saves += 1
        if self._saves >= self._snapshots.keep:
            self._ledger.drop_merged()
        self._observer.snapshotted(time.perf_counter() - began)

    @property
    def unsaved_runs(self) -> int:
        """How many settled runs wait in memory for a save that succeeds."""
        return len(self._settled)
