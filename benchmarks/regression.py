"""How far Freshet's and the peers' predictions of numbers are off, on the same files and blocks."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from peers.run import measure
from perturb import leave_out, mask_of, perturb
from replays import UNGATED, Replays

TASK = "task=regression"

Rows = list[dict[str, Any]]

learnt_by = functools.partial(functools.cache(measure), task="regression")


def errors(replays: Replays, paths: list[Path], peers: list[str], kind: str) -> Rows:
    """Return the error of ``kind``, mae or rmse, of the champion, a run without a gate and each peer.

    ``of the best`` is the champion's error as a part of the best peer's, ``price`` by how many percent it lies above
    that of the run without a gate.
    """
    rows: Rows = []
    for path in paths:
        told = replays.run(path)
        champion, ungated = (float(one[kind]["champion"]) for one in (told, replays.run(path, UNGATED)))
        row = {
            "stream": path.stem,
            "champion": champion,
            "frozen": float(told[kind]["frozen"]),
            "ungated": ungated,
            "price %": _rise(champion, ungated),
        }
        others = {peer: learnt_by(peer, path, replays.label) for peer in peers}
        row |= {peer: other.get(kind, other.get("failed")) for peer, other in others.items()}
        finite = {peer: other[kind] for peer, other in others.items() if kind in other}
        if finite:
            best = min(finite, key=finite.__getitem__)
            row |= {"best peer": best, "of the best": champion / finite[best] if finite[best] else None}
        # The peers learn every event: what was refused makes the comparison void.
        rows.append(row | ({"dead-lettered": told["dead_lettered"]} if told["dead_lettered"] else {}))
    return rows


def bursts(replays: Replays, paths: list[Path]) -> Rows:
    """Return by how many percent the bursts raise the error on the untouched events, and if they had been left out."""
    rows: Rows = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            spoilt, left = Path(folder) / path.name, Path(folder) / f"{path.stem}-left-out.csv"
            perturb("bursts", path, spoilt, replays.label)
            leave_out(spoilt, left)
            row: dict[str, Any] = {"stream": path.stem}
            for name, settings in (("gated", ()), ("ungated", (UNGATED,))):
                clean = _error(replays.run(path, *settings, mask=mask_of(spoilt)))
                poisoned = _error(replays.run(spoilt, *settings, mask=mask_of(spoilt)))
                row |= {f"{name} clean": clean, f"{name} poisoned": poisoned, f"{name} rise %": _rise(poisoned, clean)}
            row["rise % if left out"] = _rise(_error(replays.run(left)), row["gated clean"])
        rows.append(row)
    return rows


def _error(told: dict[str, Any]) -> float:
    return float(told["mae"]["champion"])


def _rise(after: float, before: float) -> float:
    return 100 * (after / before - 1) if before else 0.0
