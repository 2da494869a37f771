"""Resident memory of trainer and worker between event 200,000 and event 1,000,000, on the embedded log."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
import yaml

from service.ingest.embedded import EmbeddedSink

MARKS = (200_000, 400_000, 600_000, 800_000, 1_000_000)
AHEAD = 20_000
BATCH = 2_000
NAMES = tuple(f"x{index}" for index in range(8))
PORT = 18_431


def batch(random: np.random.Generator, start: int) -> list[bytes]:
    """Return labelled events, also of a category with ever new values."""
    numbers = random.normal(size=(BATCH, len(NAMES)))
    labels = numbers.sum(axis=1) > np.sin(start / 50_000)
    return [
        json.dumps(
            {
                "id": f"{start + index}",
                "features": dict(zip(NAMES, row.tolist(), strict=True)) | {"user": f"u{start + index}"},
                "label": "UP" if labels[index] else "DOWN",
            }
        ).encode()
        for index, row in enumerate(numbers)
    ]


def accepted(store: Path) -> int:
    """Return how many events the trainer has accepted."""
    try:
        return int(json.loads((store / "status.json").read_bytes())["events"]["accepted"])
    except (OSError, ValueError, KeyError):
        return 0


def main() -> None:
    """Print resident memory at each mark, and the ratio of the last to the first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree: dict[str, Any] = {
            "schema": {"numeric": list(NAMES), "categorical": ["user"], "labels": ["DOWN", "UP"]},
            "source": {"embedded": {"path": str(folder / "log.sqlite")}},
            "store": {"path": str(folder / "store")},
            "trainer": {"state_path": str(folder / "state"), "port": PORT},
        }
        (folder / "freshet.yaml").write_text(yaml.safe_dump(tree))
        command = [sys.executable, "-m", "service", "train", "--config", str(folder / "freshet.yaml")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        trainer = psutil.Process(process.pid)
        sink, random, sent, told = EmbeddedSink(folder / "log.sqlite"), np.random.default_rng(0), 0, []
        for mark in MARKS:
            while accepted(folder / "store") < mark:
                if sent < mark and sent - accepted(folder / "store") < AHEAD:
                    for value in batch(random, sent):
                        sink.send("events", value)
                    sink.flush()
                    sent += BATCH
                else:
                    time.sleep(0.05)
            workers = trainer.children()
            told.append(
                {
                    "events": mark,
                    "trainer_mib": round(trainer.memory_info().rss / 2**20, 1),
                    "worker_mib": round(sum(one.memory_info().rss for one in workers) / 2**20, 1),
                }
            )
            print(told[-1], flush=True)
        process.terminate()
        process.wait()
    ratio = told[-1]["trainer_mib"] / told[0]["trainer_mib"]
    print(json.dumps({"trainer_ratio": round(ratio, 3), "marks": told}))


if __name__ == "__main__":
    main()
