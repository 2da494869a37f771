"""Tells when nothing has gone on for too long, ever more patiently."""

import time
from collections.abc import Callable

FIRST_PATIENCE_SECONDS = 5.0
LONGEST_PATIENCE_SECONDS = 60.0


class Standstill:
    """How long nothing has gone on, and when that is too long: after 5 seconds, then 10, and so on up to a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._patience_seconds = FIRST_PATIENCE_SECONDS

    def end(self) -> None:
        """Something goes on."""
        self._since, self._patience_seconds = None, FIRST_PATIENCE_SECONDS

    def too_long(self) -> bool:
        """Note that nothing goes on; tell whether to act now, which begins a new and longer wait."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since < self._patience_seconds:
            return False
        self._since, self._patience_seconds = None, min(2 * self._patience_seconds, LONGEST_PATIENCE_SECONDS)
        return True
