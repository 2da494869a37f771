"""What the journals say, as the page shows it: whoever wrote them."""

from typing import Any

import pytest

from service.serve.page.history import MOST_CHARS, MOST_ROUNDS, acts, notices, rounds
from service.validate.gate import DECISION_REASONS, Decision, outcome_of

PROMOTED: dict[str, Any] = {
    "event": "decision",
    "at": "2026-01-31T09:30:00.250Z",
    "round": 42,
    "decision": "promote",
    "reason": "forward_better",
    "meaning": "better on arriving events",
    "challenger": "main",
    "checkpoint": "000042-3f9a1c2b",
    "trigger": "new_events",
    "trigger_detail": "500 new events",
    "training_seconds": 0.4,
    "numbers": {
        "main": {
            "forward_events": 440,
            "forward_mean_difference": -0.03,
            "forward_standard_error": 0.004,
            "recent_events": 50,
            "recent_mean_difference": 0.01,
        }
    },
}


def test_a_decision_is_told_with_its_freshest_evidence() -> None:
    """Arriving events, where there are any; else held-out ones; else none."""
    told = rounds([PROMOTED])[0]
    assert (told.round, told.outcome, told.meaning) == (42, "promoted", "better on arriving events")
    assert told.evidence is not None
    assert told.evidence.model_dump() == {
        "slice": "forward",
        "events": 440,
        "difference": -0.03,
        "standard_error": 0.004,
    }
    recent = rounds([PROMOTED | {"numbers": {"main": PROMOTED["numbers"]["main"] | {"forward_events": 0}}}])[0].evidence
    assert recent is not None
    assert (recent.slice, recent.events, recent.difference, recent.standard_error) == ("recent", 50, 0.01, None)
    assert rounds([PROMOTED | {"numbers": {}}])[0].evidence is None


def test_an_outcome_is_what_the_trainer_counts() -> None:
    """What it counts as nothing has a name of its own: the first model, and what a suspicion withholds."""
    uncounted = {"first_checkpoint": "first_model", "suspected": "withheld"}
    for decision, reason in DECISION_REASONS:
        told = rounds([PROMOTED | {"decision": decision, "reason": reason}])[0]
        assert told.outcome == (outcome_of(Decision(decision, reason, "main")) or uncounted[reason]), reason


def test_a_failed_round_is_told_with_its_message() -> None:
    """However long that is."""
    failed = {"event": "round_failed", "at": "now", "round": 3, "cause": "crash", "message": "x" * 5_000}
    told = rounds([failed])[0]
    assert (told.outcome, told.reason, told.checkpoint, told.evidence) == ("failed", "crash", None, None)
    assert told.meaning == "x" * MOST_CHARS


def test_the_newest_come_first_and_no_more_than_can_be_read() -> None:
    """Rounds are told from the newest on; what is no round is no row."""
    entries = [PROMOTED | {"round": number} for number in range(50)] + [{"event": "orphaned"}]
    assert [one.round for one in rounds(entries)] == list(range(49, 49 - MOST_ROUNDS, -1))


def test_drift_and_suspicion_are_notices() -> None:
    """With their feature, if there is one."""
    drift = {"event": "drift", "at": "1", "kind": "data", "feature": "amount", "meaning": "differs"}
    turn = {"event": "suspicion", "at": "2", "what": "entered", "meaning": "no better than guessing"}
    assert [(one.kind, one.feature, one.meaning) for one in notices([drift, PROMOTED, turn])] == [
        ("suspicion", None, "no better than guessing"),
        ("data", "amount", "differs"),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"event": 5},
        {"decision": []},
        {"event": "decision", "decision": "promote"},
        {"event": "decision", "decision": "promote", "numbers": 5, "round": "x", "training_seconds": "y"},
        {"event": "decision", "decision": "promote", "numbers": {"main": 5}, "challenger": "main", "at": 3},
        {"event": "decision", "decision": "promote", "numbers": {"main": {}}, "challenger": []},
        {"event": "drift"},
        {"event": "round_failed", "round": True},
    ],
)
def test_entries_of_other_versions_do_no_harm(entry: dict[str, Any]) -> None:
    """Anything may be missing, or be something else."""
    assert len(rounds([entry])) + len(notices([entry])) <= 1
    assert len(acts([entry])) == 1
