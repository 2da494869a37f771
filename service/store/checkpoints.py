"""The store that trainer and servers share: sealed checkpoints, and the pointer to the one that serves."""

import json
import secrets
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError, StoreUnavailableError
from service.store.arrays import Arrays, pack, unpack
from service.store.canonical import exact_json
from service.store.files import make_folder, replace_file, store_errors, sweep
from service.store.manifest import Manifest, age, fresh_id, is_id
from service.store.pin import read_pin
from service.store.pointer import Pointer, move_pointer, pointer_lock, read_pointer, succession
from service.store.roots import Roots
from service.store.sealed import read_manifest, read_sealed, remove_sealed, write_sealed

CHECKPOINTS = "checkpoints"
WEIGHTS = "model.safetensors"
ENCODER = "encoder.json"
IDENTITY = "id"

_log = structlog.get_logger(__name__)

Report = Callable[[str, StoreError], None]
Check = Callable[["Checkpoint"], object]
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as published: its origin, its weights by name, and its encoder's state as plain JSON values."""

    manifest: Manifest
    tensors: Arrays
    encoder: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One checkpoint in a listing: its manifest, or what is wrong with it."""

    id: str
    manifest: Manifest | None
    problem: str | None


class CheckpointStore:
    """Checkpoints in a folder: any number of readers, who need no right to write, and the trainer.

    Ids rise with age. Every method may raise StoreUnavailableError, after which it may be tried again.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.keep = keep
        self._folder = path / CHECKPOINTS
        self._roots = Roots(self._folder, lambda known: self._entry(known).manifest)

    def identity(self) -> str:
        """Return the store's own name, by which a state knows where it belongs; only for the holder of the lease."""
        file = self.path / IDENTITY
        with store_errors(file):
            if file.exists():
                return file.read_text(encoding="ascii").strip()
        name = secrets.token_hex(8)
        replace_file(file, f"{name}\n".encode())
        return name

    def new_id(self, round: int) -> str:  # noqa: A002 - a round is what it is called everywhere
        """Return an id above all others: the round's number, or one more than the highest so far."""
        ids = self._ids()
        return fresh_id(max(round, age(ids[0])[0] + 1 if ids else 0))

    def write(self, checkpoint: Checkpoint, fence_check: Callable[[], None] | None = None) -> None:
        """Write a new checkpoint, durable once this returns; no pointer moves.

        ``fence_check`` is called when only the rename is left, and may raise LeaseLostError to stop it. If the same
        weights are there already under this id, from a publication that failed later and is tried again, they stay.
        """
        manifest = checkpoint.manifest
        files = {WEIGHTS: pack(checkpoint.tensors), ENCODER: exact_json(checkpoint.encoder)}
        with suppress(CheckpointMissingError):
            if read_sealed(self._folder / manifest.id)[1] == files:
                return
        write_sealed(self._folder / manifest.id, files, manifest.model_dump(mode="json"), before_rename=fence_check)

    def read(self, checkpoint_id: str) -> Checkpoint:
        """Return a checkpoint, every byte of it verified.

        Raises CheckpointMissingError, CheckpointDamagedError, or StoreError for one that a newer Freshet wrote.
        """
        folder, (values, files) = self._look(checkpoint_id, read_sealed)
        return checkpoint_in(folder, values, files)

    def verify(self, checkpoint_id: str) -> Manifest:
        """Return a checkpoint's manifest once every byte is verified; raises as ``read`` does."""
        return self.read(checkpoint_id).manifest

    def manifest(self, checkpoint_id: str) -> Manifest:
        """Return a checkpoint's manifest, verified, and of its files only presence and size; raises as ``read``."""
        folder, values = self._look(checkpoint_id, read_manifest)
        return _parse(values, folder)

    def entries(self) -> list[Entry]:
        """Return all checkpoints, newest first, each looked at as ``manifest`` does: quick, no weights are read."""
        found = []
        for known in self._ids():
            try:
                found.append(self._entry(known))
            except CheckpointMissingError:
                continue  # pruned since the folder was listed
            except StoreUnavailableError as error:
                found.append(Entry(known, None, str(error)))
        return found

    def latest(self) -> Pointer | None:
        """Return the pointer to what serves, None before the first publication.

        Raises CheckpointDamagedError if the pointer's file is not what was written.
        """
        return read_pointer(self.path)

    def point(
        self,
        checkpoint_id: str,
        *,
        reason: str,
        by: str,
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Pointer:
        """Make a checkpoint the one that serves, once it is verified: the last step of a promotion.

        ``guard`` is held over the move itself, such as ``Lease.guarded``, and may raise LeaseLostError to stop it.
        Raises as ``read`` does.
        """

        def last_look() -> None:
            self.manifest(checkpoint_id)  # under the pointer's lock: it may have been pruned since it was verified

        self.verify(checkpoint_id)
        return move_pointer(self.path, checkpoint_id, reason=reason, by=by, before_rename=last_look, guard=guard)

    def newest_sound(self, report: Report | None = None, *, check: Check | None = None) -> Checkpoint | None:
        """Return what a server should serve, None before the first publication or if nothing whole is left.

        That is the checkpoint pointed to; if it is damaged the one before it, then its ancestors, then older ones
        (newest first, and all of them if the pointer itself is damaged). ``report`` is called with id (or the
        pointer's name) and error of each that had to be passed over. ``check`` may pass over more of them: it raises
        StoreError.
        """
        tell = report or _warn
        pointer = None
        candidates: Iterable[str] = ()
        try:
            pointer = self.latest()
            if pointer is not None:
                candidates = succession(pointer, self._ids(), self._parent)
        except CheckpointDamagedError as error:
            tell("latest", error)
            candidates = self._ids()
        for candidate in candidates:
            try:
                checkpoint = self.read(candidate)
                if check is not None:
                    check(checkpoint)
            except StoreUnavailableError:
                raise
            except StoreError as error:
                if isinstance(error, CheckpointMissingError) and self._moved_from(pointer):
                    # What the pointer named was pruned after it had moved on.
                    return self.newest_sound(report, check=check)
                tell(candidate, error)
            else:
                return checkpoint
        return None

    def frozen(self, checkpoint_id: str) -> Checkpoint:
        """Return the frozen, pre-trained root of a checkpoint's lineage; raises as ``read`` does."""
        return self.read(self.manifest(checkpoint_id).lineage)

    def prune(self, protected: Collection[str] = ()) -> list[str]:
        """Delete old checkpoints and return their ids.

        Kept are the newest ``keep`` whole ones, the protected ones, the one pointed to and its predecessor, the pinned
        one, and the roots of all of these. With a damaged pointer or pin nothing is deleted, for then it is unknown
        what serves.
        """
        make_folder(self.path)
        with pointer_lock(self.path):
            try:
                pointer, pin = self.latest(), read_pin(self.path)
            except CheckpointDamagedError as error:
                _log.warning("old checkpoints stay", problem=str(error))
                return []
            roots = {known: self._roots.of(known) for known in self._ids()}
            whole = [known for known, root in roots.items() if root is not None]
            kept = {*whole[: self.keep], *protected}
            if pointer is not None:
                kept |= {pointer.id, pointer.previous or pointer.id}
            if pin is not None:
                kept.add(pin.id)
            kept |= {root for known, root in roots.items() if root is not None and known in kept}
            # What is above the newest whole one may be a newer program's: not for this one to judge.
            gone = [known for known in roots if known not in kept and whole and age(known) < age(whole[0])]
            for old in gone:
                remove_sealed(self._folder / old)
                self._roots.forget(old)
        return gone

    def sweep(self) -> list[str]:
        """Remove what crashed writers left behind; only for the holder of the lease."""
        return sweep(self.path) + sweep(self._folder)

    def _moved_from(self, pointer: Pointer | None) -> bool:
        with suppress(CheckpointDamagedError):
            return self.latest() != pointer
        return pointer is not None

    def _entry(self, checkpoint_id: str) -> Entry:
        try:
            return Entry(checkpoint_id, self.manifest(checkpoint_id), None)
        except (CheckpointMissingError, StoreUnavailableError):
            raise
        except StoreError as error:
            return Entry(checkpoint_id, None, str(error))

    def _parent(self, checkpoint_id: str) -> str | None:
        try:
            return self.manifest(checkpoint_id).parent
        except StoreUnavailableError:
            raise
        except StoreError:
            return None

    def _ids(self) -> list[str]:
        with store_errors(self._folder):
            try:
                names = [entry.name for entry in self._folder.iterdir() if is_id(entry.name)]
            except FileNotFoundError:
                return []
        return sorted(names, key=age, reverse=True)

    def _look(self, checkpoint_id: str, read: Callable[[Path], _Read]) -> tuple[Path, _Read]:
        if is_id(checkpoint_id):  # it may come from a user, and must not lead out of the folder
            folder = self._folder / checkpoint_id
            with suppress(CheckpointMissingError):
                return folder, read(folder)
        message = (
            f"no checkpoint {checkpoint_id[:80]!r} in {self.path}; `freshet checkpoints list` shows those there are"
        )
        raise CheckpointMissingError(message)


def checkpoint_in(folder: Path, values: dict[str, Any], files: dict[str, bytes]) -> Checkpoint:
    """Return the checkpoint that a folder's manifest and files make up; raises as ``CheckpointStore.read`` does."""
    manifest = _parse(values, folder)
    try:
        tensors, encoder = unpack(files[WEIGHTS], str(folder / WEIGHTS)), json.loads(files[ENCODER])
    except (KeyError, ValueError, RecursionError) as error:
        message = f"{folder}: damaged, it lacks or cannot read a part of a checkpoint ({error})"
        raise CheckpointDamagedError(message) from None
    return Checkpoint(manifest, tensors, encoder)


def _parse(values: dict[str, Any], folder: Path) -> Manifest:
    manifest = Manifest.parse(values, str(folder))
    if manifest.id != folder.name:
        message = f"{folder}: damaged, its manifest is that of {manifest.id}"
        raise CheckpointDamagedError(message)
    return manifest


def _warn(checkpoint_id: str, error: StoreError) -> None:
    _log.warning("checkpoint passed over", checkpoint=checkpoint_id, problem=str(error))
