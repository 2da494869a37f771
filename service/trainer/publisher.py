"""The trainer's writing side: checkpoints, snapshots, pointer, journal, dead letters. Used by one background thread."""

import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import structlog
import torch

import service
from service.ingest.dead_letters import DeadLetters
from service.learner.candidate import Candidate
from service.learner.roles import Standing
from service.observer import Observer
from service.settings import Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.clock import utc_text
from service.store.fingerprint import model_fingerprint, model_values, schema_fingerprint, schema_values
from service.store.journal import Journal
from service.store.lease import Lease
from service.store.manifest import DataRange, Manifest
from service.store.snapshot import SnapshotStore
from service.store.status import write_status
from service.trainer.intake import Refused

log = structlog.get_logger(__name__)

GATE = "gate"
"""Who moves the pointer when the trainer does."""

State = tuple[dict[str, Any], dict[str, Any]]


class Publisher:
    """Makes things durable, in the one order that survives a crash at any instant.

    Every method may raise StoreUnavailableError or SourceUnavailableError (dead letters), after which it may be tried
    again, and LeaseLostError, after which it may not. ``unburied`` counts the dead letters taken over and not durable.
    """

    def __init__(self, settings: Settings, lease: Lease, fence: int, letters: DeadLetters, observer: Observer) -> None:
        self.checkpoints = CheckpointStore(settings.store.path, settings.store.keep)
        identity = schema_values(settings) | model_values(settings)
        self.snapshots = SnapshotStore(settings.trainer.state_path / "snapshots", identity)
        self._journal = Journal(settings.store.path / "decisions.jsonl")
        self._settings = settings
        self._lease = lease
        self._fence = fence
        self._letters = letters
        self._observer = observer
        self.unburied = 0

    def sweep(self) -> None:
        """Remove what a crashed predecessor left half-written."""
        self.checkpoints.sweep()
        self.snapshots.sweep()

    def publish(
        self,
        candidate: Candidate,
        checkpoint_id: str,
        state: State | None,
        refused: list[Refused],
        roles: Sequence[str],
    ) -> None:
        """Publish a candidate under an id, with the state in which it is the champion.

        1. Dead letters are durable, for the snapshot's positions lie behind them.
        2. The checkpoint is durable; nothing names it yet.
        3. The snapshot names it: from here a restart finishes the promotion.
        4. The pointer moves: servers take it over.
        5. What is no longer needed goes; ``roles`` are the checkpoints that must stay.

        Without a state (`pretrain`) there is no step 3: the trainer will begin from the checkpoint.
        """
        began = time.perf_counter()
        self._lease.check()
        self.bury(refused)  # 1
        checkpoint = self._checkpoint(candidate, checkpoint_id)
        self.checkpoints.write(checkpoint, fence_check=self._lease.check)  # 2
        if state is not None:
            self.snapshots.save(*state)  # 3
        self.checkpoints.point(  # 4
            checkpoint_id, reason=candidate.decision.reason, by=GATE, fence_check=self._lease.check
        )
        self.checkpoints.prune({checkpoint_id, *roles})  # 5
        self._observer.phase_ended("publish", time.perf_counter() - began)

    def save(self, state: State, refused: list[Refused]) -> None:
        """Save a snapshot, once the dead letters before its positions are durable."""
        began = time.perf_counter()
        self._lease.check()
        self.bury(refused)
        self.snapshots.save(*state)
        self._observer.snapshotted(time.perf_counter() - began)

    def bury(self, refused: list[Refused]) -> None:
        """Write refused records to the dead letters, durably; takes them out of the list as it takes them over."""
        while refused:
            batch, refusals = refused.pop(0)
            self._letters.add(batch, refusals)
            self.unburied += len(refusals)
        self._letters.flush()
        self.unburied = 0

    def record(self, entry: Mapping[str, Any]) -> None:
        """Append a decision to the journal."""
        self._journal.append(entry)

    def report(self, status: Mapping[str, Any], champion: str | None) -> Standing | None:
        """Show that the lease's holder lives, and write the trainer's status for servers.

        Returns the checkpoint that an operator has promoted meanwhile, None if ``champion`` still stands.
        """
        self._lease.renew()
        write_status(self._settings.store.path, status)
        pointer = self.checkpoints.latest()
        if pointer is None or pointer.by == GATE or pointer.id == champion:
            return None
        return self.standing(pointer.id)

    def standing(self, checkpoint_id: str) -> Standing:
        """Read a published checkpoint; raises as CheckpointStore.read does."""
        checkpoint = self.checkpoints.read(checkpoint_id)
        return Standing.from_parts(checkpoint_id, checkpoint.tensors, checkpoint.encoder)

    def _checkpoint(self, candidate: Candidate, checkpoint_id: str) -> Checkpoint:
        given, decision = candidate.given, candidate.decision
        parent = given.parent
        recipe = next(one.recipe for one in given.challengers if one.name == decision.challenger)
        manifest = Manifest(
            id=checkpoint_id,
            round=given.number,
            parent=parent,
            lineage=self.checkpoints.manifest(parent).lineage if parent else checkpoint_id,
            created_at=utc_text(time.time()),
            trained_until=utc_text(given.trained_until_ms / 1_000),
            trigger=given.trigger,
            data=tuple(DataRange(**span) for span in given.data),
            hyperparameters=given.settings.model_dump(mode="json") | {"seed": given.seed, "recipe": vars(recipe)},
            gate={
                "decision": decision.decision,
                "reason": decision.reason,
                "numbers": decision.numbers,
                "abstentions": list(decision.abstentions),
            },
            schema_fingerprint=schema_fingerprint(self._settings),
            model_fingerprint=model_fingerprint(self._settings),
            versions=versions(),
            fence=self._fence,
        )
        return Checkpoint(manifest, candidate.model.weights(), candidate.encoder_json())


def versions() -> dict[str, str]:
    """Return what a checkpoint was made with."""
    return {
        "freshet": service.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
