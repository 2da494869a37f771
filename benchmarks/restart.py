"""A restart with a window of 100,000 events, as a process beyond importing torch; and what a snapshot of it costs."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
import yaml

from service.ingest.embedded import EmbeddedSink
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.state import capture, restore
from service.observer import Observer
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.store.snapshot import SNAPSHOTS, SnapshotStore

EVENTS = 130_000
WINDOW = 100_000
NAMES = tuple(f"x{index}" for index in range(8))
PORT = 18_432
TRIES = 5


def fill(path: Path) -> None:
    """Write the events into the embedded log."""
    random, sink = np.random.default_rng(0), EmbeddedSink(path)
    for start in range(0, EVENTS, 5_000):
        numbers = random.normal(size=(5_000, len(NAMES)))
        for index, row in enumerate(numbers):
            features = dict(zip(NAMES, row.tolist(), strict=True)) | {"user": f"u{(start + index) % 500}"}
            label = "UP" if row.sum() > 0 else "DOWN"
            sink.send("events", json.dumps({"features": features, "label": label}).encode())
        sink.flush()
    sink.close()


def status(store: Path) -> dict[str, Any]:
    """Return what the trainer tells about itself, empty before it does."""
    try:
        return dict(json.loads((store / "status.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def seconds_until_ready(folder: Path, settled: int) -> float:
    """Start the trainer, wait until it has ``settled`` accepted events again, and stop it."""
    (folder / "store" / "status.json").unlink(missing_ok=True)
    began = time.perf_counter()
    trainer = subprocess.Popen(
        [sys.executable, "-m", "service", "train", "--config", str(folder / "freshet.yaml")], stderr=subprocess.DEVNULL
    )
    while status(folder / "store").get("events", {}).get("accepted", 0) < settled:
        assert trainer.poll() is None, "the trainer ended"
        time.sleep(0.01)
    ready = time.perf_counter() - began
    while settled == EVENTS and status(folder / "store")["held"]["window"] < WINDOW:
        time.sleep(0.1)
    trainer.terminate()
    trainer.wait()
    return ready


def seconds_to_import_torch() -> float:
    """Return how long a bare `import torch` takes as a process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - began


def costs(settings: Settings) -> dict[str, float]:
    """Return what a snapshot of that state costs: on the loop's thread, and on the scribe's."""
    store = CheckpointStore(settings.store.path, settings.store.keep)
    snapshots = SnapshotStore(settings.trainer.state_path / SNAPSHOTS, {})

    def standing(checkpoint_id: str) -> Standing:
        checkpoint = store.read(checkpoint_id)
        return Standing.from_parts(checkpoint_id, checkpoint.tensors, checkpoint.encoder)

    began = time.perf_counter()
    saved = snapshots.load(of_any=True)
    assert saved is not None
    learner = Learner(settings, Observer())
    restore(learner, *saved, standing)
    loading = time.perf_counter() - began
    copying, writing = [], []
    target = SnapshotStore(settings.trainer.state_path / "benchmark", {})
    for _ in range(TRIES):
        began = time.perf_counter()
        state = capture(learner)
        copied = time.perf_counter()
        target.save(*state)
        copying.append(copied - began)
        writing.append(time.perf_counter() - copied)
    size = sum(array.nbytes for array in state[0].values())
    return {
        "load_seconds": round(loading, 3),
        "copy_seconds": round(median(copying), 4),
        "write_seconds": round(median(writing), 3),
        "mebibytes": round(size / 2**20, 1),
    }


def main() -> None:
    """Print the median of five restarts beyond `import torch`, and a snapshot's costs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree: dict[str, Any] = {
            "schema": {"numeric": list(NAMES), "categorical": ["user"], "labels": ["DOWN", "UP"]},
            "source": {"embedded": {"path": str(folder / "log.sqlite")}},
            "window": {"events": WINDOW},
            "trigger": {"every_events": EVENTS // 2, "every_seconds": 3_600.0},
            "store": {"path": str(folder / "store")},
            "trainer": {"state_path": str(folder / "state"), "port": PORT},
        }
        (folder / "freshet.yaml").write_text(yaml.safe_dump(tree))
        fill(folder / "log.sqlite")
        first = seconds_until_ready(folder, EVENTS)
        print({"filling_seconds": round(first, 1), "machine_load": psutil.getloadavg()[0]}, flush=True)
        beyond = []
        for _ in range(TRIES):
            importing, restarting = seconds_to_import_torch(), seconds_until_ready(folder, EVENTS)
            beyond.append(restarting - importing)
            print({"import_torch": round(importing, 2), "restart": round(restarting, 2)}, flush=True)
        figures = {"beyond_torch_seconds": round(median(beyond), 2), "window_events": WINDOW}
        print(json.dumps(figures | costs(Settings.model_validate(tree))))


if __name__ == "__main__":
    main()
