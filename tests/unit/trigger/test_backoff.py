"""Rounds that bring nothing are counted, and a gain or a change ends the count."""

import numpy as np

from service.settings import Trigger
from service.trigger.backoff import Backoff


def rejected(backoff: Backoff, rounds: int, reason: str = "forward_worse") -> None:
    """Let so many rounds be rejected."""
    for _ in range(rounds):
        backoff.decided(promoted=False, reason=reason)


def test_rejections_in_a_row_are_counted_until_a_promotion() -> None:
    """And until what is to be learnt has changed."""
    backoff = Backoff(Trigger())
    rejected(backoff, 5)
    assert backoff.rejected_rounds == 5
    backoff.decided(promoted=True, reason="forward_better")
    assert backoff.rejected_rounds == 0
    rejected(backoff, 3)
    backoff.reset()
    assert backoff.rejected_rounds == 0


def test_a_rejection_for_want_of_evidence_says_nothing() -> None:
    """Neither does one under suspicion: it is not the candidate that failed."""
    backoff = Backoff(Trigger())
    rejected(backoff, 20, "too_little_evidence")
    rejected(backoff, 20, "suspected")
    assert backoff.rejected_rounds == 0


def test_promotions_without_a_gain_are_idle_rounds() -> None:
    """Once so many in a row have shown none; a gain that can be shown ends it."""
    backoff = Backoff(Trigger(backoff_idle_rounds=10))
    random = np.random.default_rng(0)

    def after_rounds(rounds: int, gain: float) -> int:
        for _ in range(rounds):
            backoff.compared(random.normal(gain, 0.1, 100))
            backoff.decided(promoted=True, reason="forward_better")
        return backoff.idle_rounds

    assert after_rounds(9, 0.0) == 0
    assert after_rounds(1, 0.0) == 10
    assert after_rounds(5, 0.0) == 15
    assert after_rounds(5, 0.05) == 0
    assert backoff.rejected_rounds == 0


def test_too_few_events_show_no_want_of_a_gain() -> None:
    """A gain cannot be missed on events that never came."""
    backoff = Backoff(Trigger(backoff_idle_rounds=4))
    for _ in range(10):
        backoff.compared(np.zeros(10))
        backoff.decided(promoted=True, reason="forward_better")
    assert backoff.idle_rounds == 0
