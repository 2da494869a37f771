"""Makes two files of vibration signals: `python -m examples.vibration_data DIRECTORY`.

``history.jsonl`` is from a machine at its old speed. ``stream.jsonl`` begins so too; after its first third the machine
runs faster, and what was a sign of wear at the old speed is how it sounds when it is sound.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LENGTH = 64
OLD_SPEED, NEW_SPEED = 3.0, 7.0
"""Turns within one signal."""

WEAR = 2.3
"""A worn bearing rattles so many times a turn."""


def events(count: int, speed: float, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield labelled signals of a machine at one speed, half of them worn."""
    turns = np.linspace(0, 2 * np.pi, LENGTH, endpoint=False) * speed
    for _ in range(count):
        worn = bool(random.random() < 0.5)  # noqa: PLR2004 - half
        signal = np.sin(turns + random.uniform(0, 2 * np.pi)) + random.normal(0, 0.3, LENGTH)
        if worn:
            signal += 0.8 * np.sin(WEAR * turns + random.uniform(0, 2 * np.pi))
        yield {"signal": signal.round(4).tolist(), "state": "worn" if worn else "sound"}


def write(directory: Path, *, history: int = 2_000, stream: int = 6_000, seed: int = 0) -> None:
    """Write both files, with so many events each."""
    random = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    after = stream - stream // 3
    for name, parts in (
        ("history.jsonl", [(history, OLD_SPEED)]),
        ("stream.jsonl", [(stream - after, OLD_SPEED), (after, NEW_SPEED)]),
    ):
        rows = (row for count, speed in parts for row in events(count, speed, random))
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    write(parser.parse_args().directory)
