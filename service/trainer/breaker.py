"""Pauses training, never consumption: a little after each failed round, and long after several of them in a row."""

from service.settings import Worker

LONGEST_BACKOFF_SECONDS = 60.0


class Breaker:
    """A circuit breaker (Nygard 2007). Times are seconds of a steady clock.

    Closed, it lets rounds begin, after a failure once a backoff is over that doubles with each one in a row. After
    ``breaker_failures`` in a row it is open for ``breaker_seconds``; then one round may try, and decides anew.
    """

    def __init__(self, settings: Worker) -> None:
        self._settings = settings
        self._failures = 0
        self._last = ""
        self._next_at = 0.0

    def failed(self, now: float, why: str) -> float:
        """Take note of a failed round; return how long training pauses, in seconds."""
        self._failures += 1
        self._last = why
        pause = min(2.0 ** (self._failures - 1), LONGEST_BACKOFF_SECONDS)
        if self.is_open:
            pause = self._settings.breaker_seconds
        self._next_at = now + pause
        return pause

    def reset(self) -> None:
        """Close it: a round has come to its decision, or what made them fail is over."""
        self._failures, self._next_at = 0, 0.0

    def lets(self, now: float) -> bool:
        """Tell whether a round may begin."""
        return now >= self._next_at

    @property
    def is_open(self) -> bool:
        """Whether so many rounds have failed in a row that training is paused."""
        return self._failures >= self._settings.breaker_failures

    def problem(self, now: float) -> str | None:
        """Say why training is paused, None while it is not; also while the round is under way that tries again."""
        if not self.is_open:
            return None
        when = f"in {self._next_at - now:.0f} s" if now < self._next_at else "now"
        return (
            f"training is paused after {self._failures} failed rounds in a row, consumption goes on; "
            f"the next try is {when}; the last failure: {self._last}"
        )
