"""The newest challengers that the gate did not let pass, left beside the store for servers that shadow them.

They lie in a folder of their own, in which no pointer, no pin and no promotion looks: nothing serves from here. They
are sealed like checkpoints, but not made durable: what a crash takes is replaced by the next round.
"""

from pathlib import Path

from service.store.arrays import pack
from service.store.canonical import exact_json
from service.store.checkpoints import CHECKPOINTS, ENCODER, WEIGHTS, Checkpoint, checkpoint_in
from service.store.files import store_errors, sweep
from service.store.manifest import age, is_id
from service.store.sealed import read_sealed, remove_sealed, write_sealed

CHALLENGERS = "challengers"

KEPT = 2
"""The newest, and the one before it for a server that has just read its name."""


def leave_challenger(store_path: Path, checkpoint: Checkpoint) -> None:
    """Leave a challenger, and take away all but KEPT; raises StoreUnavailableError.

    Those that seem newer are a former trainer's, whose state was lost and with it the count of rounds.
    """
    files = {WEIGHTS: pack(checkpoint.tensors), ENCODER: exact_json(checkpoint.encoder)}
    folder = store_path / CHALLENGERS
    write_sealed(folder / checkpoint.manifest.id, files, checkpoint.manifest.model_dump(mode="json"), durable=False)
    ids = _ids(folder)
    own = ids.index(checkpoint.manifest.id)
    for old in ids[:own] + ids[own + KEPT :]:
        remove_sealed(folder / old)


def sweep_challengers(store_path: Path) -> None:
    """Remove what a crashed trainer left half-written; only for the holder of the lease."""
    sweep(store_path / CHALLENGERS)


def newest_candidate(store_path: Path) -> str | None:
    """Return the id of the newest candidate of the trainer's, promoted or left here; None if there is none.

    Raises StoreUnavailableError.
    """
    ids = [known for folder in (CHECKPOINTS, CHALLENGERS) for known in _ids(store_path / folder)[:1]]
    return max(ids, key=age, default=None)


def read_challenger(store_path: Path, checkpoint_id: str) -> Checkpoint:
    """Return a challenger, every byte of it verified.

    Raises CheckpointMissingError if it is not, or not any more, here; CheckpointDamagedError, or StoreError for one
    that a newer Freshet left.
    """
    folder = store_path / CHALLENGERS / checkpoint_id
    return checkpoint_in(folder, *read_sealed(folder))


def _ids(folder: Path) -> list[str]:
    """Return the ids in a folder, newest first."""
    with store_errors(folder):
        try:
            names = [entry.name for entry in folder.iterdir() if is_id(entry.name)]
        except FileNotFoundError:
            return []
    return sorted(names, key=age, reverse=True)
