"""The small file that names the checkpoint to serve; to move it is the last step of a promotion."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import CheckpointDamagedError
from service.store.canonical import seal, unseal
from service.store.clock import utc_text
from service.store.files import locked, make_folder, replace_file, store_errors
from service.store.manifest import age, is_id

LATEST = "latest"

GATE = "gate"
"""Who moves the pointer when the trainer does; whoever else did is an operator, whose choice the trainer follows."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which checkpoint serves, which one did before it, and when, by whom and why it was chosen."""

    id: str
    previous: str | None
    at: str
    by: str
    reason: str


def read_pointer(store_path: Path) -> Pointer | None:
    """Return the store's pointer, None if nothing was ever published.

    Raises CheckpointDamagedError if the file is not what was written, StoreUnavailableError if it cannot be read.
    """
    path = store_path / LATEST
    with store_errors(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    values = unseal(data, str(path))
    try:
        pointer = Pointer(**values)
    except TypeError:
        pointer = None
    if pointer is None or not is_id(pointer.id) or not (pointer.previous is None or is_id(pointer.previous)):
        message = f"{path}: damaged, it is no pointer to a checkpoint; promote a checkpoint to write it anew"
        raise CheckpointDamagedError(message)
    return pointer


def pointer_lock(store_path: Path) -> AbstractContextManager[int]:
    """Keep the pointer where it is during a block; raises StoreUnavailableError."""
    return locked(store_path / f"{LATEST}.lock")


def move_pointer(
    store_path: Path,
    checkpoint_id: str,
    *,
    reason: str,
    by: str,
    before_rename: Callable[[], None] | None = None,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Pointer:
    """Point to a checkpoint, durably and at once; return the new pointer.

    ``previous`` becomes the one pointed to before; pointing to the same one again keeps it, and records when, by whom
    and why. ``guard`` is held over the move itself, and may raise to stop it. A damaged pointer is replaced, its
    history lost. Raises StoreUnavailableError.
    """
    make_folder(store_path)
    # Locked, so that of two moves at the same time the later one knows the earlier one as its previous.
    with pointer_lock(store_path):
        try:
            old = read_pointer(store_path)
        except CheckpointDamagedError:
            old = None
        previous = None
        if old is not None:
            previous = old.previous if old.id == checkpoint_id else old.id
        new = Pointer(checkpoint_id, previous, utc_text(time.time()), by, reason)
        with guard():
            replace_file(store_path / LATEST, seal(asdict(new)), before_rename=before_rename)
    return new


def succession(pointer: Pointer, ids: Sequence[str], parent_of: Callable[[str], str | None]) -> Iterator[str]:
    """Yield, once each, the checkpoints to serve in order of preference, given all ids newest first.

    That is the one pointed to, the one that served before it, the ancestors of both, and older ones.
    """
    first = [pointer.id, *([pointer.previous] if pointer.previous else [])]
    seen = set(first)
    yield from dict.fromkeys(first)
    for start in first:
        current = parent_of(start)
        while current and current not in seen:
            seen.add(current)
            yield current
            current = parent_of(current)
    yield from (known for known in ids if known not in seen and age(known) < age(pointer.id))
