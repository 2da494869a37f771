"""Bounds how long a stop may take, whatever is stuck: a disk, a broker, a lock."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

USED_SHARE = 0.9
"""Of the grace time: the rest is for the end of the process itself, before an orchestrator kills it."""


@contextmanager
def bounded_stop(stop: threading.Event, grace_seconds: float) -> Iterator[None]:
    """End the process with exit code 0 if the block goes on for longer than the grace time after ``stop`` is set.

    Nothing is lost by it: the next start goes on at the newest snapshot.
    """
    over = threading.Event()

    def watch() -> None:
        stop.wait()
        if not over.wait(grace_seconds * USED_SHARE):
            log.error(
                "the grace time is over and something is still stuck; leaving, the newest snapshot stands",
                grace_seconds=grace_seconds,
            )
            os._exit(0)

    threading.Thread(target=watch, name="grace", daemon=True).start()
    try:
        yield
    finally:
        over.set()
