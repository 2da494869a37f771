"""What a healthy trainer writes into the store, for pages and servers that read it."""

from collections.abc import Iterator, Mapping
from typing import Any

HOSTILE = "<img src=x onerror=\"document.title='taken over'\">"
"""The name of a feature whose owner means no good."""

FREE = ("drift", "lag", "refused", "restarts")
"""Members whose own members are named by data, or come with it."""


def status(**changes: object) -> dict[str, object]:
    """Return what a healthy trainer writes."""
    psi = {f"f{number}": number / 500 for number in range(48)} | {HOSTILE: 0.4, "income": 0.02}
    return {
        "state": "learning",
        "problem": None,
        "topic": HOSTILE,
        "events": {"accepted": 30_000, "refused": 12, "predicted": 30_000},
        "rounds": {"started": 16, "promoted": 15, "rejected": 1, "failed": 0, "rolled_back": 0},
        "new_events": 120,
        "trigger": {"held": None, "spacing": 1.0, "enough_events": 500, "unserved_seconds": 0.4, "round_seconds": 0.3},
        "suspicion": "clear",
        "held": {"window": 2_000, "replay": 10_000, "heldout": 900},
        "lag": {"events/0": 0},
        "roles": {"champion": "000015-00000000", "frozen": "000000-00000000"},
        "prequential": {"champion": {"error": 0.1}, "frozen": {"error": 0.4}},
        "prequential_totals": {
            "champion": {"events": 30_000, "error_sum": 3_600.0},
            "frozen": {"events": 30_000, "error_sum": 9_000.0},
        },
        "prequential_events": 2_000,
        "events_per_second": 250.0,
        "refused": {"not_json": 12},
        "worker": {"ready": True, "restarts": {"crash": 1, "hang": 0}},
        "worth_an_alarm": 0.1,
        "drift": {"psi": psi, "prediction": {"model": 0.01}, "concept": {"model": 0.1}, "alarms": {"data": 1}},
        **changes,
    }


def members(told: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the path of each member whose name is fixed."""
    for name, value in told.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping) and name not in FREE:
            yield from members(value, f"{above}{name}.")
