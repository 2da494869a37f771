"""Spans of suspicion: from the event where it began to the one where it ended."""

from service.replay.suspicions import MOST_SPANS, Suspicions


def test_a_span_has_its_ending_and_an_open_one_none() -> None:
    """Turns in between neither begin nor end one."""
    found = Suspicions()
    for what, event in (("entered", 10), ("confirming", 20), ("doubted", 25), ("changed", 30), ("entered", 50)):
        found.note(what, event)
    assert found.spans(60) == [(10, 30, "changed"), (50, 60, None)]


def test_only_the_newest_are_kept() -> None:
    """Memory does not grow with the stream."""
    found = Suspicions()
    for index in range(2 * MOST_SPANS):
        found.note("entered", 10 * index)
        found.note("noise", 10 * index + 5)
    assert len(found.spans(0)) == MOST_SPANS
    assert found.spans(0)[-1] == (20 * MOST_SPANS - 10, 20 * MOST_SPANS - 5, "noise")
