"""A recorded stream, and the loop that all peers share: a block is predicted, then learnt.

Runs in the environment of a peer, so it needs nothing but Python.
"""

import csv
import itertools
import json
import math
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

    @property
    def values(self) -> list[float]:
        """The labels of a regression."""
        return [float(label) for label in self.labels]

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


def in_blocks(
    predict: Callable[[X], Y | None],
    learn: Callable[[X, Y], object],
    events: list[tuple[X, Y]],
) -> tuple[list[Y | None], dict[str, float]]:
    """Predict each block, then learn it; return the predictions, and events per second of wall clock and processor.

    Turning the file into the peer's rows isn't counted, nor is starting up.
    """
    predicted: list[Y | None] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(events), BLOCK):
        block = events[start : start + BLOCK]
        predicted += [predict(row) for row, _ in block]
        for row, label in block:
            learn(row, label)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return predicted, {
        "seconds": round(seconds, 3),
        "events_per_second": round(len(events) / seconds, 1),
        "events_per_cpu_second": round(len(events) / cpu, 1),
    }


def measure(
    predict: Callable[[X], Y | None], learn: Callable[[X, Y], object], events: list[tuple[X, Y]]
) -> dict[str, float]:
    """Return the accuracy and the rates of a classifier."""
    predicted, rates = in_blocks(predict, learn, events)
    right = sum(guess == label for guess, (_, label) in zip(predicted, events, strict=True))
    return {"events": len(events), "accuracy": round(right / len(events), 5)} | rates


def measure_errors(
    predict: Callable[[X], float | None], learn: Callable[[X, float], object], events: list[tuple[X, float]]
) -> dict[str, float | str]:
    """Return mean absolute error, root of the mean squared error and the rates of a regressor."""
    predicted, rates = in_blocks(predict, learn, events)
    return errors(predicted, [label for _, label in events]) | rates


def errors(predicted: list[float | None], values: list[float]) -> dict[str, float | str]:
    """Return ``mae`` and ``rmse``, or as ``failed`` how many predictions are no numbers.

    Before a learner has seen anything its prediction says nothing but where the library begins; a label far from
    there would decide the whole figure. So in the first block the mean of the labels before each event stands for
    every peer's prediction, which is how Freshet predicts until its first checkpoint.
    """
    sums = itertools.accumulate(values[:BLOCK], initial=0.0)
    told = [total / max(1, place) for place, total in zip(range(len(values[:BLOCK])), sums, strict=False)]
    told += [math.nan if guess is None else float(guess) for guess in predicted[BLOCK:]]
    off = [abs(guess - value) for guess, value in zip(told, values, strict=True)]
    strange = sum(not math.isfinite(error) for error in off)
    if strange:
        return {"events": len(values), "failed": f"{strange} predictions are no finite numbers"}
    squares = math.fsum((error / len(values)) ** 2 * len(values) for error in off)
    return {"events": len(values), "mae": math.fsum(off) / len(values), "rmse": math.sqrt(squares)}


def main(
    peers: dict[str, Callable[[Stream], dict[str, float]]],
    regressors: dict[str, Callable[[Stream], dict[str, float | str]]],
) -> None:
    """Print one JSON object for ``TASK PEER FILE LABEL [LIMIT]`` of the command line."""
    task, name, path, label, *limit = sys.argv[1:]
    measured = regressors[name] if task == "regression" else peers[name]
    print(json.dumps(measured(read(Path(path), label, int(limit[0]) if limit else None))))
