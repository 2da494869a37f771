"""Where a trainer goes on: at its snapshot, else at the published model, else at the beginning."""

import structlog

from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.state import restore, resume_from
from service.store.manifest import age
from service.trainer.publisher import GATE, Publisher

log = structlog.get_logger(__name__)


def go_on(learner: Learner, publisher: Publisher) -> str:
    """Put the learner where it left off and return, in one line, where that was.

    Raises SnapshotMismatchError when the state belongs to another schema or model, and StoreError when neither the
    champion nor any other checkpoint can be read.
    """
    where = _restore(learner, publisher)
    # Checkpoints are named after rounds: their numbers go on from the highest, also where the state is older.
    known = publisher.checkpoints.entries()
    learner.counts["rounds"] = max([learner.counts["rounds"], *(age(entry.id)[0] for entry in known)])
    return where


def _restore(learner: Learner, publisher: Publisher) -> str:
    saved = publisher.snapshots.load()
    if saved is not None:
        arrays, meta = saved
        champion = meta["roles"]["champion"]

        def load(checkpoint_id: str) -> Standing | None:
            try:
                return publisher.standing(checkpoint_id)
            except (CheckpointDamagedError, CheckpointMissingError) as error:
                if checkpoint_id == champion:
                    raise
                log.warning("checkpoint of a former role cannot be read", problem=str(error))
                return None

        restore(learner, arrays, meta, load)
        _settle_pointer(learner, publisher)
        return f"at the snapshot, round {learner.counts['rounds']}, champion {champion or 'not made yet'}"
    checkpoint = publisher.checkpoints.newest_sound()
    if checkpoint is None:
        if publisher.checkpoints.latest() is not None:
            raise StoreError(
                f"{publisher.checkpoints.path}: no checkpoint is whole; restore the folder from a copy, "
                "or move it away to begin anew"
            )
        return "at the beginning: no model yet, the first trigger makes one"
    manifest = checkpoint.manifest
    champion_standing = Standing.from_parts(manifest.id, checkpoint.tensors, checkpoint.encoder)
    frozen = publisher.standing(manifest.lineage) if manifest.lineage != manifest.id else champion_standing
    resume_from(learner, champion_standing, frozen, checkpoint.encoder)
    for span in manifest.data:
        learner.begin_at(span.topic, span.partition, span.last + 1)
    return f"at checkpoint {manifest.id}, without a snapshot"


def _settle_pointer(learner: Learner, publisher: Publisher) -> None:
    """Make pointer and snapshot agree: a crash, or an operator, may have come between them."""
    champion = learner.roles.champion
    pointer = publisher.checkpoints.latest()
    if champion is None or (pointer is not None and pointer.id == champion.checkpoint_id):
        return
    if pointer is not None and pointer.by != GATE:
        learner.stand(publisher.standing(pointer.id))
        log.info("an operator's promotion is taken over", checkpoint=pointer.id, by=pointer.by)
    elif pointer is None or age(pointer.id) < age(champion.checkpoint_id):
        publisher.checkpoints.point(champion.checkpoint_id, reason="finished_after_restart", by=GATE)
        log.info("a promotion that a crash had interrupted is finished", checkpoint=champion.checkpoint_id)
    else:
        publisher.record({"event": "orphaned", "checkpoint": pointer.id, "champion": champion.checkpoint_id})
        log.warning(
            "the checkpoint that serves is newer than the snapshot; nothing learns from it",
            serving=pointer.id,
            champion=champion.checkpoint_id,
        )
