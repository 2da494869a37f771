"""What the journals say, in the page's form; entries of other versions of Freshet may lack anything."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.serve.page.forms import Act, Evidence, Notice, Outcome, RoundTold

MOST_ROUNDS = 12
MOST_NOTICES = 6
MOST_CHARS = 400
"""Of one text: a failed round's message can be long."""

OUTCOMES: dict[str, Outcome] = {"promote": "promoted", "reject": "rejected", "rollback": "rolled_back"}
"""By decision, where the reason says nothing else."""

OUTCOMES_BY_REASON: dict[str, Outcome] = {
    "first_checkpoint": "first_model",
    "suspected": "withheld",
    "rolled_back": "rolled_back",
}
SUSPICION = "suspicion"


def rounds(entries: Iterable[Mapping[str, Any]]) -> list[RoundTold]:
    """Return the rounds among a journal's entries, which are oldest first; the newest first."""
    told = [one for entry in entries if (one := _round(entry)) is not None]
    return told[: -MOST_ROUNDS - 1 : -1]


def notices(entries: Iterable[Mapping[str, Any]]) -> list[Notice]:
    """Return the drift that was found and the turns of suspicions, the newest first."""
    told = [
        Notice(
            at=_text(entry, "at") or "",
            kind=SUSPICION if entry["event"] == SUSPICION else _text(entry, "kind") or "",
            feature=_text(entry, "feature"),
            meaning=_text(entry, "meaning"),
        )
        for entry in entries
        if entry.get("event") in ("drift", SUSPICION)
    ]
    return told[: -MOST_NOTICES - 1 : -1]


def acts(entries: Iterable[Mapping[str, Any]]) -> list[Act]:
    """Return what operators did, in the order given."""
    return [
        Act(
            at=_text(entry, "at") or "",
            event=_text(entry, "event") or "",
            checkpoint=_text(entry, "checkpoint"),
            by=_text(entry, "by"),
            reason=_text(entry, "reason"),
        )
        for entry in entries
    ]


def _round(entry: Mapping[str, Any]) -> RoundTold | None:
    failed = entry.get("event") == "round_failed"
    outcome = "failed" if failed else _outcome(str(entry.get("decision")), str(entry.get("reason")))
    if outcome is None:
        return None
    return RoundTold(
        at=_text(entry, "at") or "",
        round=_whole(entry.get("round")),
        outcome=outcome,
        reason=_text(entry, "cause" if failed else "reason") or "",
        meaning=_text(entry, "message" if failed else "meaning"),
        trigger=_text(entry, "trigger"),
        trigger_detail=_text(entry, "trigger_detail"),
        checkpoint=_text(entry, "checkpoint"),
        training_seconds=_number(entry.get("training_seconds")),
        evidence=None if failed else _evidence(entry),
    )


def _outcome(decision: str, reason: str) -> Outcome | None:
    """Return how a decision ended its round, as the trainer counts it; None of what is no decision."""
    return OUTCOMES_BY_REASON.get(reason, OUTCOMES[decision]) if decision in OUTCOMES else None


def _evidence(entry: Mapping[str, Any]) -> Evidence | None:
    """Return the freshest evidence there was: arriving events, else held-out ones."""
    numbers = entry.get("numbers")
    found = numbers.get(str(entry.get("challenger"))) if isinstance(numbers, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    for name in ("forward", "recent"):
        events = _whole(found.get(f"{name}_events"))
        if events:
            return Evidence(
                slice="forward" if name == "forward" else "recent",
                events=events,
                difference=_number(found.get(f"{name}_mean_difference")),
                standard_error=_number(found.get(f"{name}_standard_error")),
            )
    return None


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return None if value is None else str(value)[:MOST_CHARS]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
