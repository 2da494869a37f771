"""Where on the stream learning was on trial, and how each trial ended."""

ENDINGS = ("changed", "noise", "expired")
MOST_SPANS = 500


class Suspicions:
    """The newest spans of suspicion: first event, last event, ending; None for one that has not ended."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, str]] = []
        self._began: int | None = None

    def note(self, what: str, event: int) -> None:
        """Take note of a turn after so many events."""
        if what == "entered":
            self._began = event
        elif what in ENDINGS and self._began is not None:
            self._spans = [*self._spans[-MOST_SPANS + 1 :], (self._began, event, what)]
            self._began = None

    def spans(self, now: int) -> list[tuple[int, int, str | None]]:
        """Return the spans, the one that goes on included."""
        return [*self._spans, *([(self._began, now, None)] if self._began is not None else [])]
