"""Figures of `freshness.py`: how old events were when they were first served, by ledger, journal and logs of a run."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from service.records import FloatArray, IntArray
from service.store.clock import utc_seconds
from service.store.fates import read_fates
from service.store.manifest import Manifest

APART = ("held_out", "dead_lettered", "rolled_back", "no_record")

Noted = dict[str, tuple[float, Manifest]]
"""When the store's pointer was first seen at each checkpoint, and what its manifest says."""


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a file."""
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def swaps(log: Path) -> dict[str, float]:
    """Return when each checkpoint first served, in Unix seconds."""
    found: dict[str, float] = {}
    for line in lines(log):
        if line.get("event") == "checkpoint serves":
            found.setdefault(line["checkpoint"], datetime.fromisoformat(line["timestamp"]).timestamp())
    return found


def spells(journal: Path) -> list[tuple[float, float]]:
    """Return from when to when learning was on trial, in Unix seconds."""
    found: list[tuple[float, float]] = []
    for line in lines(journal):
        if line["event"] != "suspicion":
            continue
        at = utc_seconds(line["at"])
        if line["what"] == "entered":
            found.append((at, np.inf))
        elif line["what"] in ("changed", "noise", "expired"):
            found[-1] = (found[-1][0], at)
    return found


def quantiles(values: FloatArray) -> dict[str, float | None]:
    """Return what is told of a distribution, None where it is infinite."""
    if not len(values):
        return {}
    found = {f"p{q}": float(np.quantile(values, q / 100, method="higher")) for q in (50, 95, 99)}
    found["max"] = float(values.max())
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in found.items()}


class Served(NamedTuple):
    """The checkpoints that served, in order: when each was made, pointed to and served, and the offset it follows."""

    made: FloatArray
    pointed: FloatArray
    served: FloatArray
    follows: FloatArray

    @classmethod
    def of(cls, noted: Noted, swapped: dict[str, float]) -> Self:
        """Put together what was noted; a checkpoint seen serving before the pointer was seen at it was seen at once."""
        rows = []
        for one, at in sorted(swapped.items(), key=lambda item: item[1]):
            seen, manifest = noted[one]
            following = manifest.follows[0].offset if manifest.follows else 0
            rows.append((utc_seconds(manifest.created_at), min(seen, at), at, following))
        return cls(*np.array(rows).T)

    def first_of(self, offsets: IntArray) -> IntArray:
        """Return for each offset the place of the first checkpoint that was trained on it or later; n if none was."""
        return np.searchsorted(np.maximum.accumulate(self.follows), offsets, side="right")


def evaluate(folder: Path, times: list[int], noted: Noted, measured: int, own: dict[str, float]) -> dict[str, Any]:
    """Return the figures of the first ``measured`` events."""
    fates = read_fates(folder / "state")
    assert fates is not None
    [runs] = fates.runs.values()
    fate_of = np.full(len(times), "open", dtype="U20")
    for run in runs:
        fate_of[run.first : run.last + 1] = run.fate
    checkpoints = Served.of(noted, swaps(folder / "serve.log"))
    stamps = np.array(times) / 1_000
    first = checkpoints.first_of(np.arange(len(times)))
    served = np.append(checkpoints.served, np.inf)[first]
    ages = served - stamps
    on_trial = np.zeros(len(times), dtype=bool)
    for begin, end in spells(folder / "store" / "decisions.jsonl"):
        on_trial |= (stamps < end) & (served > begin)
    counted = ~np.isin(fate_of, APART) & (np.arange(len(times)) < measured)
    clear = counted & ~on_trial
    known = np.flatnonzero(clear & np.isfinite(ages))
    decisions = [line for line in lines(folder / "store" / "decisions.jsonl") if line["event"] == "decision"]
    refused = np.sort([utc_seconds(line["at"]) for line in decisions if line["decision"] != "promote"])

    def stages(rows: IntArray) -> dict[str, float]:
        """Return the mean seconds that events spent, and the rounds that brought nothing meanwhile."""
        place = first[rows]
        parts = {
            "until_checkpoint_made": checkpoints.made[place] - stamps[rows],
            "until_published": (checkpoints.pointed - checkpoints.made)[place],
            "until_served": (checkpoints.served - checkpoints.pointed)[place],
            "rounds_rejected_meanwhile": np.searchsorted(refused, served[rows])
            - np.searchsorted(refused, stamps[rows]),
            "of_the_first_checkpoint": place == 0,
        }
        return {name: round(float(np.mean(values)), 4) for name, values in parts.items()}

    slowest = known[ages[known] >= np.quantile(ages[known], 0.99)]
    learnable = (fate_of == "learnable") & np.isfinite(ages)
    return {
        "events": measured,
        "fates": dict(Counter(fate_of[:measured].tolist())),
        "counted": int(counted.sum()),
        "never_served": int((clear & ~np.isfinite(ages)).sum()),
        "seconds": quantiles(ages[clear]),
        "on_trial": {"events": int((counted & on_trial).sum()), "seconds": quantiles(ages[counted & on_trial])},
        "mean_stages": stages(known),
        "mean_stages_of_the_slowest_hundredth": stages(slowest),
        "checkpoints": {"published": len(noted), "served": len(checkpoints.served)},
        "decisions": dict(Counter(f"{line['decision']} {line['reason']}" for line in decisions).most_common()),
        "longest_run_of_rejections": longest([line["decision"] != "promote" for line in decisions]),
        "server_histogram": {
            "events": int(own["count"]),
            "events_by_the_ledger": int(learnable.sum()),
            "mean": round(own["sum"] / own["count"], 4),
            "mean_by_the_ledger": round(float(ages[learnable].mean()), 4),
            "largest_difference_of_a_bucket": int(
                max(abs(up_to - (ages[learnable] <= float(le)).sum()) for le, up_to in own.items() if le[0].isdigit())
            ),
        },
    }


def longest(flags: list[bool]) -> int:
    """Return the length of the longest run of true ones."""
    best = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        best = max(best, current)
    return best
