"""The lease on a store: one trainer learns, and each holder has a higher fencing number than the one before.

The lease is a small file that its holder rewrites with a rising count. An observer takes it over once the file has
not changed for the time to live *by the observer's own clock*, so clocks that differ or jump do no harm; at once if
the holder released it, or was a process of this machine that is gone. A lock guards each look-and-write, nothing more.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from service.errors import CheckpointDamagedError, LeaseLostError
from service.store.canonical import seal, unseal
from service.store.clock import utc_text
from service.store.files import locked, make_folder, replace_file, store_errors
from service.store.processes import ProcessMark, is_gone, this_process

LEASE = "lease.json"
LOCK = "lease.lock"

_PIDS = 2**31


@dataclass(frozen=True, slots=True)
class Holder:
    """Who learns on a store: ``since`` is RFC 3339 in UTC by the holder's clock."""

    owner: str
    host: str
    pid: int
    since: str
    fence: int

    def __str__(self) -> str:
        return f"{self.owner} (process {self.pid} on {self.host}, since {self.since})"


@dataclass(frozen=True, slots=True)
class _State:
    fence: int
    held: bool
    token: str
    beats: int
    ttl_seconds: float
    owner: str
    since: str
    host: str
    machine: str
    pid: int
    started: int

    @property
    def free(self) -> bool:
        return not self.held or is_gone(ProcessMark(self.host, self.machine, self.pid, self.started))


class Lease:
    """One process's claim on the store at ``path``; ``renew`` it several times within ``ttl_seconds``.

    Every method may raise StoreUnavailableError, after which it may be tried again.
    """

    def __init__(
        self,
        path: Path,
        owner: str,
        ttl_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        process: ProcessMark | None = None,
    ) -> None:
        self.path = path
        self.owner = owner
        self.ttl_seconds = ttl_seconds
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._process = process or this_process()
        self._token: str | None = None
        self._seen: bytes | None = None
        self._seen_at = 0.0

    def try_acquire(self) -> int | None:
        """Return the fencing number if the lease is free, lapsed or this one's already; else None, try again later."""
        make_folder(self.path)
        with self._locked() as lock:
            data = self._read()
            state = _parse(data)
            if state is not None and self._is_mine(state):
                return state.fence
            if not self._may_take(data, state):
                return None
            fence = max(_highest(lock), state.fence if state else 0) + 1
            # First of all, so that no number is given twice, even if somebody deletes the lease's file.
            _remember(lock, fence, self.path / LOCK)
            token = secrets.token_hex(8)
            self._write(
                _State(
                    fence=fence,
                    held=True,
                    token=token,
                    beats=0,
                    ttl_seconds=self.ttl_seconds,
                    owner=self.owner,
                    since=utc_text(self._wall_clock()),
                    **asdict(self._process),
                )
            )
            self._token = token
            return fence

    def renew(self) -> None:
        """Show that the holder lives; raises LeaseLostError if it was superseded."""
        with self._locked():
            state = self._mine()
            self._write(replace(state, beats=state.beats + 1))

    def check(self) -> None:
        """Raise LeaseLostError unless this process holds the lease, as of now."""
        self._mine()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Check the lease and let nobody take it over during the block; for the move of the pointer, nothing long."""
        with self._locked():
            self._mine()
            yield

    def release(self) -> None:
        """Give the lease back, so that a standby need not wait; does nothing if it was lost or never held."""
        if self._token is None:
            return
        with self._locked():
            state = _parse(self._read())
            if state is not None and self._is_mine(state):
                self._write(replace(state, held=False))
        self._token = None

    def holder(self) -> Holder | None:
        """Return who holds the lease, None if it is free or its holder is known to be gone."""
        state = _parse(self._read())
        return None if state is None or state.free else _holder(state)

    def _may_take(self, data: bytes | None, state: _State | None) -> bool:
        if data is None or (state is not None and state.free):
            return True
        now = self._monotonic()
        if data != self._seen:
            self._seen, self._seen_at = data, now
        # A damaged file tells nothing but whether it changes.
        patience = max(self.ttl_seconds, state.ttl_seconds if state else 0.0)
        return now - self._seen_at >= patience

    def _mine(self) -> _State:
        state = _parse(self._read())
        if state is not None and self._is_mine(state):
            return state
        taker = f"is held by {_holder(state)}" if state and state.held else "is not held by this trainer"
        message = f"the lease on {self.path} {taker}; this trainer publishes nothing more, start it again to stand by"
        raise LeaseLostError(message)

    def _is_mine(self, state: _State) -> bool:
        return self._token is not None and state.held and state.token == self._token

    def _locked(self) -> AbstractContextManager[int]:
        return locked(self.path / LOCK)

    def _read(self) -> bytes | None:
        path = self.path / LEASE
        with store_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def _write(self, state: _State) -> None:
        replace_file(self.path / LEASE, seal(asdict(state)))


def _parse(data: bytes | None) -> _State | None:
    if data is None:
        return None
    try:
        state = _State(**unseal(data, LEASE))
    except (CheckpointDamagedError, TypeError):
        return None
    return state if _makes_sense(state) else None


def _makes_sense(state: _State) -> bool:
    """Tell whether all values are of their kinds: well sealed, the file may still be another version's."""
    texts = (state.token, state.owner, state.since, state.host, state.machine)
    numbers = (state.fence, state.beats, state.pid, state.started)
    kinds = (isinstance(state.held, bool), isinstance(state.ttl_seconds, int | float))
    return (
        all(kinds)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) for number in numbers)
        and 0 <= state.pid < _PIDS
    )


def _holder(state: _State) -> Holder:
    return Holder(state.owner, state.host, state.pid, state.since, state.fence)


def _highest(lock: int) -> int:
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def _remember(lock: int, fence: int, path: Path) -> None:
    with store_errors(path):
        os.ftruncate(lock, os.pwrite(lock, f"{fence}\n".encode("ascii"), 0))
        os.fsync(lock)
