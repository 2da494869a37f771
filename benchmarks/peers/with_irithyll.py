"""irithyll's streaming gradient boosted trees, through the program that cargo built from irithyll/src/main.rs."""

import json
import subprocess
from pathlib import Path

from blocks import BLOCK, Stream, main

PROGRAM = Path(__file__).resolve().parents[2] / ".venv-peers" / "irithyll" / "release" / "with-irithyll"


def boosted_trees(stream: Stream, steps: int) -> dict[str, float]:
    """Measure trees boosted in ``steps`` steps; one committee a class above two classes."""
    names, classes = [*stream.numeric, *stream.categorical], stream.classes
    codes = {
        name: {value: str(code) for code, value in enumerate(stream.categories(name))} for name in stream.categorical
    }
    class_of = {label: str(place) for place, label in enumerate(classes)}
    lines = ["n" * len(stream.numeric) + "c" * len(stream.categorical), str(max(2, len(classes)))]
    for row, label in zip(stream.rows, stream.labels, strict=True):
        cells = [codes[name][str(row[name])] if name in codes else str(row[name]) for name in names]
        lines.append(" ".join([*cells, class_of[label]]))
    command = [str(PROGRAM), str(steps), str(BLOCK)]
    done = subprocess.run(command, input="\n".join(lines), text=True, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return {
        "events": len(stream.rows),
        "accuracy": round(told["right"] / len(stream.rows), 5),
        "seconds": round(told["seconds"], 3),
        "events_per_second": round(len(stream.rows) / told["seconds"], 1),
    }


if __name__ == "__main__":
    main({f"irithyll-{steps}": lambda stream, steps=steps: boosted_trees(stream, steps) for steps in (30, 100)})
