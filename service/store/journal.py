"""An append-only file of JSON lines, such as the gate's decisions: durable, bounded, and easy to follow.

A place in it is a number of bytes since the journal began. Rotation renames the file so that the new name tells the
place where it ends and the next one begins: ``decisions.until-16777216.jsonl``. So a reader that remembers a place
goes on from there, whatever was rotated meanwhile.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from service.store.canonical import canonical_json
from service.store.files import discard, locked, make_folder, store_errors, sync_folder, write_all

DECISIONS = "decisions.jsonl"
MAX_BYTES = 16 * 2**20

_BLOCK_BYTES = 65_536
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """One open file, from place ``begins_at`` to ``ends_at``, without a last line that is not finished."""

    handle: int
    begins_at: int
    ends_at: int

    def read(self, start: int) -> bytes:
        """Return the bytes from a place on."""
        start = max(start, self.begins_at)
        return os.pread(self.handle, max(0, self.ends_at - start), start - self.begins_at)

    def last_lines(self, count: int) -> list[bytes]:
        """Return the last lines, at most ``count``, reading little more than these."""
        size = self.ends_at - self.begins_at
        length = min(_BLOCK_BYTES, size)
        while (data := self.read(self.ends_at - length)).count(b"\n") <= count and length < size:
            length = min(2 * length, size)
        lines = data.splitlines()
        return lines[max(0, len(lines) - count) :]


class Journal:
    """Entries in ``path``, and before them those of one older file; several processes may append and read.

    Every method may raise StoreUnavailableError, after which it may be tried again.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._older = re.compile(rf"{re.escape(path.stem)}\.until-([0-9]+){re.escape(path.suffix)}")

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one entry, durable once this returns; NaN becomes null. If it raises, nothing was added."""
        line = canonical_json(entry) + b"\n"
        make_folder(self.path.parent)
        with locked(self.path.with_name(f"{self.path.name}.lock")), store_errors(self.path):
            handle = self._open_to_write()
            try:
                size = _repair(handle)
                if size and size + len(line) > self.max_bytes:
                    self._rotate(size)
                    os.close(handle)
                    handle, size = self._open_to_write(), 0
                try:
                    write_all(handle, line)
                    os.fsync(handle)
                except OSError:
                    os.ftruncate(handle, size)
                    raise
            finally:
                os.close(handle)

    def tail(self, count: int) -> list[dict[str, Any]]:
        """Return the newest entries, at most ``count`` of them, oldest first."""
        lines: list[bytes] = []
        with self._opened() as parts:
            for part in reversed(parts):
                lines = part.last_lines(count - len(lines)) + lines
        return _entries(lines)

    def read_since(self, place: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the entries after a place, oldest first, and the place after them; 0 is the beginning.

        What was rotated away for good is left out. A line that its writer has not finished waits for the next call.
        """
        lines: list[bytes] = []
        with self._opened() as parts:
            if parts and place > parts[-1].ends_at:  # somebody removed the files: a new journal began
                place = 0
            for part in parts:
                lines += part.read(place).splitlines()
                place = max(place, part.ends_at)
        return _entries(lines), place

    def end(self) -> int:
        """Return the place after the newest entry: what comes later is new."""
        with self._opened() as parts:
            return parts[-1].ends_at if parts else 0

    def _open_to_write(self) -> int:
        new = not self.path.exists()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        if new:
            sync_folder(self.path.parent)
        return handle

    def _rotate(self, size: int) -> None:
        past = self._ends_of_older()
        ends_at = (past[-1] if past else 0) + size
        self.path.rename(self._older_path(ends_at))
        sync_folder(self.path.parent)
        for old in past:
            discard(self._older_path(old))

    def _older_path(self, ends_at: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.until-{ends_at}{self.path.suffix}")

    def _ends_of_older(self) -> list[int]:
        with suppress(FileNotFoundError):
            names = (self._older.fullmatch(entry.name) for entry in self.path.parent.iterdir())
            return sorted(int(name[1]) for name in names if name)
        return []

    @contextmanager
    def _opened(self) -> Iterator[list[_Part]]:
        with store_errors(self.path), ExitStack() as stack:
            before = None
            while (past := self._ends_of_older()) != before:  # else it was rotated while the files were opened
                before = past
                rotated = _open_to_read(self._older_path(past[-1]), stack) if past else None
                current = _open_to_read(self.path, stack)
            parts = []
            border = past[-1] if past else 0
            if rotated is not None:
                parts.append(_Part(rotated, border - os.fstat(rotated).st_size, border))
            if current is not None:
                parts.append(_Part(current, border, border + _whole_lines(current)))
            yield parts


def _open_to_read(path: Path, stack: ExitStack) -> int | None:
    with suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, handle)
        return handle
    return None


def _entries(lines: list[bytes]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            found.append(entry)
        else:
            _log.warning("journal line passed over", problem="it is damaged")
    return found


def _whole_lines(handle: int) -> int:
    """Return how many bytes of a file make up whole lines."""
    end = os.fstat(handle).st_size
    while end > 0:
        start = max(end - _BLOCK_BYTES, 0)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _repair(handle: int) -> int:
    """Cut off a last line that a crash left unfinished; return the size then."""
    whole = _whole_lines(handle)
    if whole < os.fstat(handle).st_size:
        os.ftruncate(handle, whole)
    return whole
