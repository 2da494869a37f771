"""What operators do to a store by hand: promote, pin, unpin; each with who and why in a history that stays.

A line of the history is durable before the act, so that nothing is ever done that it does not tell. An act that fails
then has a second line, ``failed``. What is in force stands in the files ``latest`` and ``pin``, not in the history.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import CheckpointDamagedError, StoreError
from service.store.checkpoints import Check, CheckpointStore
from service.store.clock import utc_text
from service.store.journal import Journal
from service.store.pin import Pin, find_pin, remove_pin, write_pin
from service.store.pointer import Pointer, pointer_lock, read_pointer

OPERATIONS = "operations.jsonl"

PROMOTED, PINNED, UNPINNED, FAILED = "promoted", "pinned", "unpinned", "failed"

MAX_REASON_CHARS = 500
BY_HAND = "by hand"
"""The reason where none is given."""


def one_line(reason: str | None) -> str:
    """Return a reason as one printable line, BY_HAND for none: it goes into files, answers, logs and terminals.

    Line breaks and the like become spaces, what cannot be printed its escape. Raises ValueError for one that is longer
    than MAX_REASON_CHARS.
    """
    if reason is None:
        return BY_HAND
    if len(reason) > MAX_REASON_CHARS:
        message = f"longer than {MAX_REASON_CHARS} characters"
        raise ValueError(message)
    words = " ".join(reason.split())
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in words) or BY_HAND


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts, and why; both are one printable line."""

    name: str
    reason: str = BY_HAND


class Operations:
    """The acts, for any number of processes and machines at once.

    ``check`` may refuse more checkpoints than those that are damaged: it raises StoreError. Every method may raise
    StoreUnavailableError, after which it may be tried again.
    """

    def __init__(self, store: CheckpointStore, *, check: Check | None = None) -> None:
        self._store = store
        self._check = check
        self._history = Journal(store.path / OPERATIONS)

    def promote(self, checkpoint_id: str, operator: Operator) -> Pointer:
        """Point to a checkpoint, until the gate's next promotion; while there is a pin, servers do not follow it.

        Raises as ``CheckpointStore.read`` does, and what ``check`` raises.
        """
        self._require_sound(checkpoint_id)

        @contextmanager
        def recorded() -> Iterator[None]:
            before = _pointed_to(self._store.path)
            with self._recorded(PROMOTED, operator, checkpoint_id, before):
                yield

        return self._store.point(checkpoint_id, reason=operator.reason, by=operator.name, guard=recorded)

    def pin(self, checkpoint_id: str, operator: Operator) -> tuple[Pin, str | None]:
        """Hold every server at a checkpoint; return the pin, and the checkpoint that was pinned before, if one was.

        Replaces whatever pin there is, a damaged one too. Raises as ``CheckpointStore.read`` does, and what ``check``
        raises.
        """
        self._require_sound(checkpoint_id)
        with pointer_lock(self._store.path):
            self._store.manifest(checkpoint_id)  # it may have been pruned since it was verified
            old, _ = find_pin(self._store.path)
            before = old.id if old else None
            new = Pin(checkpoint_id, utc_text(time.time()), operator.name, operator.reason)
            with self._recorded(PINNED, operator, checkpoint_id, before):
                write_pin(self._store.path, new)
        return new, before

    def unpin(self, operator: Operator) -> tuple[bool, Pin | None]:
        """Let servers follow the pointer again; return whether there was a pin, and which, None for a damaged one."""
        if find_pin(self._store.path) == (None, None):  # asked first without the lock, which may make a file
            return False, None
        with pointer_lock(self._store.path):
            pin, damage = find_pin(self._store.path)
            if pin is None and damage is None:  # somebody else was faster
                return False, None
            with self._recorded(UNPINNED, operator, pin.id if pin else None, None):
                remove_pin(self._store.path)
        return True, pin

    def history(self, count: int) -> list[dict[str, Any]]:
        """Return the newest entries, at most ``count``, newest first.

        Each has ``event``, ``at``, ``by``, ``reason``, ``checkpoint`` and ``before``, the checkpoint that was promoted
        or pinned until then; one that ``failed`` has also ``what`` and ``problem``.
        """
        return self._history.tail(count)[::-1]

    def _require_sound(self, checkpoint_id: str) -> None:
        find_pin(self._store.path)  # raises for a store that is away, where a checkpoint would seem to be damaged
        checkpoint = self._store.read(checkpoint_id)
        if self._check is not None:
            self._check(checkpoint)

    @contextmanager
    def _recorded(self, event: str, operator: Operator, checkpoint: str | None, before: str | None) -> Iterator[None]:
        entry = {
            "event": event,
            "at": utc_text(time.time()),
            "by": operator.name,
            "reason": operator.reason,
            "checkpoint": checkpoint,
            "before": before,
        }
        self._history.append(entry)
        try:
            yield
        except StoreError as error:
            with suppress(StoreError):  # what hinders the act may hinder this as well
                self._history.append(entry | {"event": FAILED, "what": event, "problem": str(error)})
            raise


def _pointed_to(store_path: Path) -> str | None:
    with suppress(CheckpointDamagedError):
        pointer = read_pointer(store_path)
        return pointer.id if pointer else None
    return None
