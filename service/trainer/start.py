"""Where a trainer goes on: at its snapshot, else at the published model, else at the beginning."""

import structlog

from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.state import restore, resume_from
from service.store.clock import utc_seconds
from service.store.manifest import age
from service.store.pointer import GATE, Pointer
from service.trainer.publisher import Publisher

log = structlog.get_logger(__name__)


def go_on(learner: Learner, publisher: Publisher) -> str:
    """Put the learner where it left off and return, in one line, where that was.

    Raises SnapshotMismatchError when state or model belong to another schema or network, and StoreError when there
    should be a champion and no checkpoint is whole.
    """
    saved = publisher.states.load()
    publisher.states.go_on(saved)
    where = _from_checkpoint(learner, publisher) if saved is None else None
    if saved is not None:
        arrays, meta = saved
        champion: str | None = meta["roles"]["champion"]
        restore(learner, arrays, meta, lambda one: _former(publisher, one, is_champion=one == champion))
        standing = learner.roles.champion
        if standing is not None and standing.checkpoint_id != champion:
            learner.stand(standing)  # the data goes on behind the substitute, and so do the challengers
        _settle_pointer(learner, publisher, overruled=meta.get("overrules"))
        where = f"at the snapshot, round {learner.counts['rounds']}, champion {champion or 'not made yet'}"
    # Checkpoints are named after rounds: their numbers go on from the highest, also where the state is older.
    known = publisher.checkpoints.entries()
    learner.counts["rounds"] = max([learner.counts["rounds"], *(age(entry.id)[0] for entry in known)])
    return where or "at the beginning: no model yet, the first trigger makes one"


def _former(publisher: Publisher, checkpoint_id: str, *, is_champion: bool) -> Standing | None:
    """Read the checkpoint of a role; a damaged champion is replaced by what serves in its place."""
    try:
        return publisher.standing(checkpoint_id)
    except (CheckpointDamagedError, CheckpointMissingError) as error:
        if not is_champion:
            log.warning("checkpoint of a former role cannot be read", problem=str(error))
            return None
        substitute = publisher.checkpoints.newest_sound()
        if substitute is None:
            raise
        log.warning("the champion cannot be read; the one before takes its place", problem=str(error))
        return publisher.standing_of(substitute)


def _from_checkpoint(learner: Learner, publisher: Publisher) -> str | None:
    checkpoint = publisher.checkpoints.newest_sound()
    if checkpoint is None:
        if publisher.checkpoints.latest() is not None:
            raise StoreError(
                f"{publisher.checkpoints.path}: no checkpoint is whole; restore the folder from a copy, "
                "or move it away to begin anew"
            )
        return None
    manifest = checkpoint.manifest
    champion = publisher.standing_of(checkpoint)
    frozen = publisher.standing(manifest.lineage) if manifest.lineage != manifest.id else champion
    resume_from(learner, champion, frozen, checkpoint.encoder)
    for source, following in champion.follows.items():
        learner.begin_at(source.topic, source.partition, following)
    if manifest.trained_until is not None:
        learner.trained_until_ms = int(utc_seconds(manifest.trained_until) * 1_000)
    return f"at checkpoint {manifest.id}, without a snapshot"


def _settle_pointer(learner: Learner, publisher: Publisher, *, overruled: list[str] | None) -> None:
    """Make pointer and snapshot agree: a crash, an operator or damage may have come between them.

    ``overruled`` is id and time of the pointer that the snapshot's champion was about to replace.
    """
    champion = learner.roles.champion
    if champion is None:
        return
    pointer = _pointer(publisher)
    if pointer is not None and pointer.id == champion.checkpoint_id:
        return
    if pointer is not None and pointer.by != GATE and [pointer.id, pointer.at] != overruled:
        _take_over(learner, publisher, pointer)
    elif pointer is None or age(pointer.id) < age(champion.checkpoint_id):
        publisher.point(champion.checkpoint_id, "finished_after_restart")
        log.info("a promotion that a crash had interrupted is finished", checkpoint=champion.checkpoint_id)
    else:
        _leave_orphaned(learner, publisher, pointer)


def _take_over(learner: Learner, publisher: Publisher, pointer: Pointer) -> None:
    """Let an operator's choice stand; where it cannot be read, servers answer from another one too."""
    try:
        chosen = publisher.standing(pointer.id)
    except (CheckpointDamagedError, CheckpointMissingError) as error:
        log.warning("an operator's promotion cannot be taken over; the champion stays", problem=str(error))
        return
    if any(offset > learner.positions.get(source, offset) for source, offset in chosen.follows.items()):
        _leave_orphaned(learner, publisher, pointer)  # it has learnt what is to be read again
        return
    learner.stand(chosen)
    log.info("an operator's promotion is taken over", checkpoint=pointer.id, by=pointer.by)


def _leave_orphaned(learner: Learner, publisher: Publisher, pointer: Pointer) -> None:
    champion = learner.roles.ids()["champion"]
    publisher.record({"event": "orphaned", "checkpoint": pointer.id, "champion": champion})
    log.warning(
        "the checkpoint that serves is newer than the snapshot; nothing learns from it",
        serving=pointer.id,
        champion=champion,
    )


def _pointer(publisher: Publisher) -> Pointer | None:
    try:
        return publisher.checkpoints.latest()
    except CheckpointDamagedError as error:
        log.warning("the pointer is damaged and written anew", problem=str(error))
        return None
