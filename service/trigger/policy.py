"""When a round starts: after enough new events or enough time, whichever comes first."""

from service.settings import Trigger


def due(
    settings: Trigger, *, new_events: int, seconds_since: float, first: bool, window_full: bool = False
) -> str | None:
    """Return the reason to start a round now, or None.

    ``new_events`` accepted since the last round began, held-out ones too; ``seconds_since`` it began (or since the
    start); ``first`` tells that there is no model yet, ``window_full`` that the next event would push an unlearnt one
    out of a window that is not to lose any.
    """
    if new_events >= settings.every_events:
        return "first_events" if first else "new_events"
    if window_full:
        return "window_full"
    if new_events >= settings.min_events and seconds_since >= settings.every_seconds:
        return "elapsed"
    return None
