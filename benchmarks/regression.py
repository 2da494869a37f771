"""How far Freshet's and the peers' predictions of numbers are off, on the same files and blocks."""

import functools
from pathlib import Path
from typing import Any

from peers.run import measure
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
            "price %": 100 * (champion / ungated - 1) if ungated else 0.0,
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
