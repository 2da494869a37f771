"""irithyll's streaming gradient boosted trees, through the program that cargo built from irithyll/src/main.rs."""

import subprocess
from pathlib import Path

from blocks import BLOCK, Stream, errors, main

PROGRAM = Path(__file__).resolve().parents[2] / ".venv-peers" / "irithyll" / "release" / "with-irithyll"


def predicted(stream: Stream, targets: list[str], classes: int, steps: int) -> tuple[list[float], dict[str, float]]:
    """Return predictions and rates of trees boosted in ``steps`` steps.

    One committee a class above two ``classes``; none of them is a regression.
    """
    names = [*stream.numeric, *stream.categorical]
    codes = {
        name: {value: str(code) for code, value in enumerate(stream.categories(name))} for name in stream.categorical
    }
    lines = ["n" * len(stream.numeric) + "c" * len(stream.categorical), str(classes)]
    for row, target in zip(stream.rows, targets, strict=True):
        cells = [codes[name][str(row[name])] if name in codes else str(row[name]) for name in names]
        lines.append(" ".join([*cells, target]))
    command = [str(PROGRAM), str(steps), str(BLOCK)]
    done = subprocess.run(command, input="\n".join(lines), text=True, stdout=subprocess.PIPE, check=True)
    seconds, *told = map(float, done.stdout.split())
    return told, {"seconds": round(seconds, 3), "events_per_second": round(len(told) / seconds, 1)}


def classifier(stream: Stream, steps: int) -> dict[str, float]:
    """Measure the trees as a classifier."""
    class_of = {label: str(place) for place, label in enumerate(stream.classes)}
    targets = [class_of[label] for label in stream.labels]
    told, rates = predicted(stream, targets, max(2, len(class_of)), steps)
    right = sum(guess == float(target) for guess, target in zip(told, targets, strict=True))
    return {"events": len(targets), "accuracy": round(right / len(targets), 5)} | rates


def regressor(stream: Stream, steps: int) -> dict[str, float | str]:
    """Measure the trees on a squared loss."""
    told, rates = predicted(stream, stream.labels, 0, steps)
    return errors(told, stream.values) | rates


if __name__ == "__main__":
    main(
        {f"irithyll-{steps}": lambda stream, steps=steps: classifier(stream, steps) for steps in (30, 100)},
        {f"irithyll-{steps}": lambda stream, steps=steps: regressor(stream, steps) for steps in (30, 100)},
    )
