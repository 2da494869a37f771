"""A recorded stream, and the loop that all peers share: a block is predicted, then learnt.

Runs in the environment of a peer, so it needs nothing but Python.
"""

import csv
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

BLOCK = 100

Row = dict[str, float | str]
X = TypeVar("X")
Y = TypeVar("Y")


@dataclass(frozen=True)
class Stream:
    """A CSV file in arrival order.

    ``numeric`` and ``categorical`` name the columns; a column is numeric if all its cells that are not empty are
    numbers. An empty cell of it reads as 0, one of a categorical column as a category of its own.
    """

    numeric: list[str]
    categorical: list[str]
    rows: list[Row]
    labels: list[str]

    @property
    def classes(self) -> list[str]:
        """The labels of the whole file, sorted: the peers are told beforehand."""
        return sorted(set(self.labels))

    def categories(self, name: str) -> list[str]:
        """Return the values of a categorical column in the whole file, sorted."""
        return sorted({str(row[name]) for row in self.rows})


def is_number(cell: str) -> bool:
    """Return whether the cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read(path: Path, label: str, limit: int | None) -> Stream:
    """Return the first ``limit`` events of a CSV file with a header."""
    with path.open(newline="") as file:
        cells = [row for row, _ in zip(csv.DictReader(file), range(limit or sys.maxsize), strict=False)]
    names = [name for name in cells[0] if name != label]
    numeric = [name for name in names if all(is_number(row[name]) for row in cells if row[name])]
    rows: list[Row] = [
        {name: float(row[name] or 0) if name in numeric else row[name] for name in names} for row in cells
    ]
    return Stream(numeric, [name for name in names if name not in numeric], rows, [row[label] for row in cells])


def measure(
    predict: Callable[[X], Y | None],
    learn: Callable[[X, Y], object],
    events: list[tuple[X, Y]],
) -> dict[str, float]:
    """Predict each block, then learn it; return accuracy and events per second of wall clock and of processor time.

    Turning the file into the peer's rows isn't counted, nor is starting up.
    """
    right, began, began_cpu = 0, time.perf_counter(), time.process_time()
    for start in range(0, len(events), BLOCK):
        block = events[start : start + BLOCK]
        right += sum(predict(row) == label for row, label in block)
        for row, label in block:
            learn(row, label)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "events": len(events),
        "accuracy": round(right / len(events), 5),
        "seconds": round(seconds, 3),
        "events_per_second": round(len(events) / seconds, 1),
        "events_per_cpu_second": round(len(events) / cpu, 1),
    }


def main(peers: dict[str, Callable[[Stream], dict[str, float]]]) -> None:
    """Print one JSON object for ``PEER FILE LABEL [LIMIT]`` of the command line."""
    name, path, label, *limit = sys.argv[1:]
    print(json.dumps(peers[name](read(Path(path), label, int(limit[0]) if limit else None))))
