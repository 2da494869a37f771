"""The trainer's writing side: checkpoints, snapshots, pointer, journal, dead letters. Used by one background thread."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import structlog
import torch

import service
from service.errors import CheckpointDamagedError, SnapshotMismatchError, StoreError, StoreUnavailableError
from service.ingest.dead_letters import DeadLetters
from service.learner.candidate import Candidate
from service.learner.roles import Standing
from service.model.encoder import Encoder
from service.observer import Observer
from service.records import Partition
from service.settings import Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.clock import utc_text
from service.store.course import Course, write_course
from service.store.fingerprint import (
    difference,
    model_fingerprint,
    model_values,
    model_values_of,
    schema_fingerprint,
    schema_values,
    schema_values_of,
)
from service.store.journal import DECISIONS, Journal
from service.store.lease import Lease
from service.store.manifest import FORMAT_VERSION, DataRange, Following, Learnt, Manifest
from service.store.pin import find_pin
from service.store.pointer import GATE
from service.store.status import write_status
from service.trainer.challengers import ChallengerShow
from service.trainer.intake import Refused, weight
from service.trainer.state_store import State, StateStore
from service.validate.gate import Decision

log = structlog.get_logger(__name__)


class Publisher:
    """Makes things durable, in the one order that survives a crash at any instant.

    Every method may raise StoreUnavailableError or SourceUnavailableError (dead letters), after which it may be tried
    again, and LeaseLostError, after which it may not. ``unburied_bytes`` is the size of the dead letters that are not
    durable yet.
    """

    def __init__(self, settings: Settings, lease: Lease, fence: int, letters: DeadLetters, observer: Observer) -> None:
        self.checkpoints = CheckpointStore(settings.store.path, settings.store.keep)
        identity = schema_values(settings) | model_values(settings)
        mine = identity | {"store": self.checkpoints.identity()}
        self.states = StateStore(settings.trainer, mine, lease, fence, observer)
        self.challengers = ChallengerShow(settings, fence)
        self._journal = Journal(settings.store.path / DECISIONS)
        self._wanted = identity
        self._settings = settings
        self._lease = lease
        self._fence = fence
        self._letters = letters
        self._observer = observer
        self.unburied_bytes = 0

    def sweep(self) -> None:
        """Remove the checkpoints that a crashed predecessor left half-written."""
        self.checkpoints.sweep()

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
        5. What is no longer needed goes; ``roles`` must stay, and what servers are to shadow.

        Without a state (`pretrain`) there is no step 3: the trainer will begin from the checkpoint.
        """
        began = time.perf_counter()
        if state is not None:
            self.states.note(state)
        self.bury(refused)  # 1
        self._lease.check()
        if state is not None:
            state[1]["overrules"] = self._overruled(candidate.given.parent)
        lineage = state[1]["roles"]["frozen"] if state is not None else checkpoint_id
        self.checkpoints.write(  # 2
            self._checkpoint(candidate, checkpoint_id, lineage), fence_check=self._lease.check
        )
        if state is not None:
            self.states.save(state)  # 3
        self.point(checkpoint_id, candidate.decision.reason)  # 4
        try:
            self.checkpoints.prune({checkpoint_id, *roles, *self._settings.serve.shadow.candidates})  # 5
        except StoreError as error:
            log.warning("old checkpoints stay", problem=str(error))
        self._observer.phase_ended("publish", time.perf_counter() - began)

    def _overruled(self, parent: str | None) -> list[str] | None:
        """Return id and time of the operator's pointer that a publication replaces, None if it is the gate's.

        Raises StoreError when the operator has chosen since the candidate was compared with its ``parent``.
        """
        try:
            pointer = self.checkpoints.latest()
        except CheckpointDamagedError:
            return None
        if pointer is None or pointer.by == GATE:
            return None
        if pointer.id != parent:
            raise StoreError(f"{pointer.by} has promoted {pointer.id} meanwhile, and the candidate is not its child")
        return [pointer.id, pointer.at]

    def point(self, checkpoint_id: str, reason: str) -> None:
        """Let servers answer from a checkpoint, unless another trainer has taken over."""
        try:
            self.checkpoints.point(checkpoint_id, reason=reason, by=GATE, guard=self._lease.guarded)
        except StoreUnavailableError:
            # The move itself may have happened, and only its durability be in doubt: then servers follow it already.
            pointer = self.checkpoints.latest()
            if pointer is None or pointer.id != checkpoint_id:
                raise

    def save(self, state: State, refused: list[Refused]) -> None:
        """Save a snapshot, once the dead letters before its positions are durable."""
        self.states.note(state)
        self.bury(refused)  # first: whatever fails, these letters are known, and the next save waits for them
        self._lease.check()
        self.states.save(state)

    def bury(self, refused: list[Refused]) -> None:
        """Write refused records to the dead letters, durably; takes them out of the list as it takes them over."""
        while refused:
            batch, refusals = refused[0]
            self.unburied_bytes += weight(batch)  # before it leaves the list: another thread adds up both
            refused.pop(0)
            self._letters.add(batch, refusals)
        self._letters.flush(self._settings.trainer.grace_seconds / 2)
        self.unburied_bytes = 0

    def record(self, entry: Mapping[str, Any]) -> None:
        """Append a decision to the journal."""
        self._journal.append(entry)

    def report(self, status: Mapping[str, Any], champion: str | None, course: Course | None = None) -> Standing | None:
        """Write the trainer's status for servers, and the course of the scores if there is news in it.

        Returns the checkpoint that an operator has promoted meanwhile, None if ``champion`` still stands.
        """
        pin, _ = find_pin(self._settings.store.path)
        # Learning goes on whatever is pinned; the champion is what would serve were nothing pinned.
        write_status(self._settings.store.path, {**status, "pinned": asdict(pin) if pin else None})
        if course is not None:
            write_course(self._settings.store.path, course)
        pointer = self.checkpoints.latest()
        if pointer is None or pointer.by == GATE or pointer.id == champion:
            return None
        return self.standing(pointer.id)

    def standing(self, checkpoint_id: str) -> Standing:
        """Read a published checkpoint; raises as CheckpointStore.read does, and as ``standing_of``."""
        return self.standing_of(self.checkpoints.read(checkpoint_id))

    def standing_of(self, checkpoint: Checkpoint) -> Standing:
        """Return a checkpoint as a model that can learn on under the present settings.

        Raises SnapshotMismatchError when it was made for another schema or network, CheckpointDamagedError when its
        parts do not fit one another.
        """
        manifest = checkpoint.manifest
        try:
            encoder = Encoder.from_json(checkpoint.encoder)
            follows = {Partition(span.topic, span.partition): span.last + 1 for span in manifest.data}
            follows |= {Partition(one.topic, one.partition): one.offset for one in manifest.follows}
            made_for = schema_values_of(encoder.task, encoder.schema) | model_values_of(encoder.network)
            differs = difference(made_for, self._wanted)  # before anything is built of what it names
            if differs:
                raise SnapshotMismatchError(
                    f"{self._settings.store.path}: checkpoint {manifest.id} was made under another configuration "
                    f"({differs}); put the configuration back, or choose another store.path and trainer.state_path"
                )
            return Standing.from_parts(manifest.id, checkpoint.tensors, checkpoint.encoder, follows)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointDamagedError(f"checkpoint {manifest.id}: its parts do not fit together: {error}") from None

    def _checkpoint(self, candidate: Candidate, checkpoint_id: str, lineage: str) -> Checkpoint:
        given, decision = candidate.given, candidate.decision
        if candidate.restores is not None:
            return self._anew(self.checkpoints.read(candidate.restores), candidate, checkpoint_id)
        members = [
            {"name": one.name, "share": share, **vars(one.recipe)}
            for one, share in zip(given.challengers, candidate.model.shares.tolist(), strict=True)
        ]
        manifest = Manifest(
            id=checkpoint_id,
            round=given.number,
            parent=given.parent,
            lineage=lineage,
            created_at=utc_text(time.time()),
            trained_until=utc_text(given.trained_until_ms / 1_000) if given.trained_until_ms else None,
            trigger=given.trigger,
            data=tuple(DataRange(**span) for span in given.data),
            follows=_followings(candidate),
            learnt=Learnt.of(candidate.newly_learnt, candidate.after),
            hyperparameters=given.settings.model_dump(mode="json") | {"seed": given.seed, "members": members},
            gate=_of_gate(decision),
            schema_fingerprint=schema_fingerprint(self._settings),
            model_fingerprint=model_fingerprint(self._settings),
            versions=versions(),
            fence=self._fence,
        )
        return Checkpoint(manifest, candidate.model.weights(), candidate.encoder_json())

    def _anew(self, former: Checkpoint, candidate: Candidate, checkpoint_id: str) -> Checkpoint:
        """Return a former checkpoint as its own child, which has learnt nothing more."""
        changed = {
            "format_version": FORMAT_VERSION,
            "id": checkpoint_id,
            "round": candidate.given.number,
            "parent": former.manifest.id,
            "created_at": utc_text(time.time()),
            "trigger": candidate.given.trigger,
            "data": (),
            "follows": _followings(candidate),
            "learnt": None,
            "gate": _of_gate(candidate.decision),
            "fence": self._fence,
        }
        return Checkpoint(former.manifest.model_copy(update=changed), former.tensors, former.encoder)


def _followings(candidate: Candidate) -> tuple[Following, ...]:
    return tuple(
        Following(topic=source.topic, partition=source.partition, offset=offset)
        for source, offset in sorted(candidate.follows.items())
    )


def _of_gate(decision: Decision) -> dict[str, Any]:
    return {
        "decision": decision.decision,
        "reason": decision.reason,
        "numbers": decision.numbers,
        "abstentions": list(decision.abstentions),
    }


def versions() -> dict[str, str]:
    """Return what a checkpoint was made with."""
    return {
        "freshet": service.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
