"""A sealed folder: files and a manifest that vouches for every byte of them, put in place whole or not at all.

``manifest.json`` holds the size and SHA-256 of each file under ``files`` and its own digest under ``digest``.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from service.errors import CheckpointDamagedError, CheckpointMissingError
from service.store.canonical import DIGEST, seal, sha256, unseal
from service.store.files import beside, discard, make_folder, store_errors, sync_folder, write_synced

MANIFEST = "manifest.json"
FILES = "files"

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # neither follow a link nor wait for a pipe


def write_sealed(
    folder: Path,
    files: Mapping[str, bytes],
    manifest: Mapping[str, Any],
    *,
    durable: bool = True,
    before_rename: Callable[[], None] | None = None,
) -> None:
    """Write a new sealed folder, durable once this returns, unless it need not be.

    ``before_rename`` is called when only the rename is left, and may raise to stop it. Raises StoreUnavailableError
    if the file system refuses; whatever is raised, nothing is left behind.
    """
    _check_names(files, manifest)
    vouched = {name: {"sha256": sha256(data), "size": len(data)} for name, data in files.items()}
    whole = {**files, MANIFEST: seal({**manifest, FILES: vouched})}
    make_folder(folder.parent)
    new = beside(folder)
    renamed = False
    try:
        with store_errors(folder):
            new.mkdir()
            for name, data in whole.items():
                if durable:
                    write_synced(new / name, data)
                else:
                    (new / name).write_bytes(data)
            if durable:
                sync_folder(new)
        if before_rename is not None:
            before_rename()
        with store_errors(folder):
            new.rename(folder)
            renamed = True
            if durable:
                sync_folder(folder.parent)
    except BaseException:
        if renamed:  # whole, but perhaps not durable: reported as failed, so it must not stay
            with suppress(OSError):
                folder.rename(new)
        discard(new)
        raise


def read_sealed(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return manifest and files of a sealed folder, every byte of them verified.

    Raises CheckpointDamagedError naming the file that is damaged, missing or too many; CheckpointMissingError if there
    is no such folder, or if it was removed in the middle; StoreUnavailableError if it cannot be read at all.
    """
    with _opened(folder) as (manifest, vouched, handles):
        contents = {}
        for name, handle in handles.items():
            data = _read_all(handle, folder / name)
            if len(data) != vouched[name]["size"] or sha256(data) != vouched[name]["sha256"]:
                _damaged(folder / name, "its bytes do not match the manifest's SHA-256")
            contents[name] = data
        return manifest, contents


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest, itself verified, with each file's presence and size; raises as ``read_sealed`` does."""
    with _opened(folder) as (manifest, vouched, handles):
        for name, handle in handles.items():
            if os.fstat(handle).st_size != vouched[name]["size"]:
                _damaged(folder / name, "its size does not match the manifest")
        return manifest


def remove_sealed(folder: Path) -> None:
    """Take a sealed folder away at once, then delete it; a reader that has opened it reads on to the end.

    Raises StoreUnavailableError if it cannot be renamed.
    """
    away = beside(folder)
    with store_errors(folder), suppress(FileNotFoundError):
        folder.rename(away)
    discard(away)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, int]]]:
    """Open all files before any is read, so that a removal in the middle does not cut the reading short."""
    with store_errors(folder), ExitStack() as stack:
        top = _open_folder(folder)
        stack.callback(os.close, top)
        try:
            names = set(os.listdir(top))  # noqa: PTH208 - by descriptor, which pathlib cannot
            manifest = unseal(
                _read_all(_open_file(top, folder / MANIFEST, stack), folder / MANIFEST), str(folder / MANIFEST)
            )
            vouched = _vouched(manifest, folder)
            for name in sorted(names - set(vouched) - {MANIFEST}):
                _damaged(folder / name, "the manifest knows no such file")
            handles = {name: _open_file(top, folder / name, stack) for name in vouched}
            yield manifest, vouched, handles
        except CheckpointDamagedError:
            if not _still_there(folder, top):
                message = f"{folder}: was removed while it was being read"
                raise CheckpointMissingError(message) from None
            raise


def _vouched(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    vouched = manifest.pop(FILES, None)
    if not isinstance(vouched, dict) or not all(
        _is_name(name) and isinstance(entry, dict) and {"size", "sha256"} <= entry.keys()
        for name, entry in vouched.items()
    ):
        _damaged(folder / MANIFEST, "it does not list the folder's files")
    return vouched


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        message = f"{folder}: no such folder"
        raise CheckpointMissingError(message) from None
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            _damaged(folder, "it is not a folder")
        raise


def _open_file(top: int, path: Path, stack: ExitStack) -> int:
    try:
        handle = os.open(path.name, _OPEN, dir_fd=top)
    except FileNotFoundError:
        _damaged(path, "the file is missing")
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}:
            _damaged(path, "it is not a regular file")
        raise
    stack.callback(os.close, handle)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        _damaged(path, "it is not a regular file")
    return handle


def _read_all(handle: int, path: Path) -> bytes:
    try:
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        if error.errno == errno.EIO:
            _damaged(path, "the disk cannot read it")
        raise


def _still_there(folder: Path, top: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(top))
    except OSError:
        return False


def _check_names(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    bad = [name for name in files if not _is_name(name)]
    bad += [key for key in manifest if key in {FILES, DIGEST}]
    if bad:
        message = f"{bad[0]!r} cannot be a name in a sealed folder"
        raise ValueError(message)


def _is_name(name: str) -> bool:
    """Tell whether a file may be called so; one with a null byte or half a surrogate pair could not even be opened."""
    return name != MANIFEST and not name.startswith(".") and Path(name).name == name and name.isprintable()


def _damaged(path: Path, why: str) -> NoReturn:
    message = f"{path}: damaged, {why}"
    raise CheckpointDamagedError(message)
