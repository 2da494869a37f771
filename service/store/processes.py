"""Which process wrote something, and whether it is certainly gone."""

import functools
import hashlib
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19  # positions in /proc/PID/stat behind the name, which may itself hold spaces and brackets
_DEAD = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process, told apart from every other one, also from a later one with the same number.

    ``machine`` stands for host, boot and process namespace: only within one of those does ``pid`` mean anything.
    ``started`` is in clock ticks since boot, 0 where the system does not tell.
    """

    host: str
    machine: str
    pid: int
    started: int


def this_process() -> ProcessMark:
    """Return the mark of the calling process."""
    pid = os.getpid()
    status = _status(pid)
    return ProcessMark(socket.gethostname(), _machine(), pid, int(status[_STARTED]) if status else 0)


def is_gone(mark: ProcessMark) -> bool:
    """Tell whether a process certainly runs no more; False if it runs, or lives where this process cannot look."""
    if mark.machine != _machine() or mark.pid <= 0:
        return False
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it exists and belongs to somebody else
    status = _status(mark.pid)
    if not status:
        return False
    return status[_STATE] in _DEAD or bool(mark.started and int(status[_STARTED]) != mark.started)


def _status(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        return []


@functools.cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        # Two containers on one machine share its boot, not the meaning of a process number.
        namespace = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        boot, namespace = str(uuid.getnode()), ""
    return hashlib.sha256(f"{socket.gethostname()} {boot} {namespace}".encode()).hexdigest()[:16]
