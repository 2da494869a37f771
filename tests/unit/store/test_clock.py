"""Points in time as text."""

import pytest

from service.store.clock import utc_seconds, utc_text


def test_times_are_rfc_3339_in_utc_and_come_back() -> None:
    """Milliseconds survive."""
    assert utc_text(1_769_851_800.25) == "2026-01-31T09:30:00.250Z"
    assert utc_seconds("2026-01-31T09:30:00.250Z") == 1_769_851_800.25


@pytest.mark.parametrize("text", ["2026-01-31T09:30:00", "2026-01-31T09:30:00+01:00", "yesterday", "Z"])
def test_other_times_are_refused(text: str) -> None:
    """A time without zone, in another zone, or none at all."""
    with pytest.raises(ValueError, match=r"is not a time in UTC|Invalid isoformat"):
        utc_seconds(text)
