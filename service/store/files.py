"""Writing that survives a crash: beside, fsync, rename, fsync the folder; and exclusive locks.

Whatever the file system refuses becomes a StoreUnavailableError that names the path.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.errors import StoreBusyError, StoreUnavailableError
from service.store.processes import ProcessMark, is_gone, this_process

_BESIDE = re.compile(r"\..+\.(?P<machine>[0-9a-f]{16})-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}\.tmp")
_LOCK_POLL_SECONDS = 0.005


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into StoreUnavailableError with the path and the system's words."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{path}: {reason}; check that the disk is there, has room and may be written to"
        raise StoreUnavailableError(message) from error


def beside(path: Path) -> Path:
    """Return a new hidden name in the same folder that tells which process made it, for ``sweep``."""
    mark = this_process()
    return path.with_name(f".{path.name}.{mark.machine}-{mark.pid}-{mark.started}-{secrets.token_hex(4)}.tmp")


def sweep(folder: Path) -> list[str]:
    """Remove what crashed writers left beside their targets in a folder; return the names removed.

    A writer alive on this machine keeps its own. To call only while holding the lease: of other machines' writers
    it is taken for granted that they write no more.
    """
    removed = []
    with store_errors(folder), suppress(FileNotFoundError):
        for entry in sorted(folder.iterdir()):
            match = _BESIDE.fullmatch(entry.name)
            if not match:
                continue
            mark = ProcessMark("", match["machine"], int(match["pid"]), int(match["started"]))
            if mark.machine == this_process().machine and not is_gone(mark):
                continue
            discard(entry)
            removed.append(entry.name)
    return removed


def discard(path: Path) -> None:
    """Delete a file or folder as far as possible; what resists stays for the next ``sweep``."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably; raises StoreUnavailableError."""
    with store_errors(folder):
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(exist_ok=True)
            sync_folder(part.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and fsync it; raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write every byte, however few the system takes at a time; raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems cannot, and need not
            raise
    finally:
        os.close(handle)


def replace_file(
    path: Path, data: bytes, *, durable: bool = True, before_rename: Callable[[], None] | None = None
) -> None:
    """Put a file in place of another at once: a reader sees the old bytes or the new ones.

    ``before_rename`` may raise to stop it at the last moment. Raises StoreUnavailableError; then the old file is still
    there, unless only the very last step failed (making the new name durable), and nothing is left beside it.
    """
    new = beside(path)
    try:
        with store_errors(path):
            if durable:
                write_synced(new, data)
            else:
                new.write_bytes(data)
        if before_rename is not None:
            before_rename()
        with store_errors(path):
            new.replace(path)
            if durable:
                sync_folder(path.parent)
    except BaseException:
        discard(new)
        raise


@contextmanager
def locked(path: Path, timeout_seconds: float = 2.0) -> Iterator[int]:
    """Hold an exclusive lock on a file, which is made when absent and never removed; yields its descriptor.

    The system frees it when the process dies. Raises StoreBusyError if others keep it for too long.
    """
    deadline = time.monotonic() + timeout_seconds
    while (handle := _try_lock(path)) is None:
        if time.monotonic() > deadline:
            message = f"{path}: locked by another process for over {timeout_seconds:g} seconds; is one stopped?"
            raise StoreBusyError(message)
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield handle
    finally:
        os.close(handle)


def _try_lock(path: Path) -> int | None:
    with store_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Somebody may have deleted the file meanwhile: then this lock binds nobody else.
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:
            os.close(handle)
            raise
        os.close(handle)
        return None
