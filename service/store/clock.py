"""Points in time as text: RFC 3339 in UTC, to the millisecond."""

from datetime import UTC, datetime


def utc_text(seconds: float) -> str:
    """Return Unix seconds as text, for example ``2026-01-31T09:30:00.250Z``."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc_seconds(text: str) -> float:
    """Return such a text as Unix seconds; raises ValueError for another format or time zone."""
    if not text.endswith("Z"):
        message = f"{text!r} is not a time in UTC such as 2026-01-31T09:30:00.250Z"
        raise ValueError(message)
    return datetime.fromisoformat(text).timestamp()
