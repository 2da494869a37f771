"""A standstill is acted on, ever less often, until something goes on again."""

from service.ingest.standstill import Standstill


def test_patience_doubles_up_to_a_minute_and_starts_anew_after_progress() -> None:
    """After 5 seconds, then 10, 20, 40, 60, 60; and after 5 again once something went on."""
    now = 0.0
    standstill = Standstill(lambda: now)
    acted = []
    while now < 210:
        if standstill.too_long():
            acted.append(now)
        now += 1
    assert [later - earlier for earlier, later in zip([-1.0, *acted], acted, strict=False)] == [6, 11, 21, 41, 61, 61]
    standstill.end()
    began = now
    while not standstill.too_long():
        now += 1
    assert now - began == 5
