"""What all servers serve and are asked: a pre-trained network of a generated stream, requests, and right answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from service.model.learned import LearnedModel
from service.store.checkpoints import Checkpoint, CheckpointStore
from tests.broker import free_ports

ROOT = Path(__file__).resolve().parents[2]
FEATURES = tuple(f"x{index}" for index in range(8))
LABELS = ("down", "up")
ROWS = 5_000
KEPT = 20
PATH = "/v1/predict"
TOLERANCE = 1e-6
"""Largest difference of a probability: who shares a forward pass decides the order of a sum, and so its last bits."""

Instances = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of what is started: none of the reader's own settings, and one thread each."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def some_instances(count: int, seed: int = 1) -> Instances:
    """Return instances [count, 8], as short as people write numbers."""
    return np.random.default_rng(seed).normal(size=(count, len(FEATURES))).round(6)


def write_events(path: Path, count: int, seed: int) -> Path:
    """Write labelled events of a binary stream with interactions and 10 % of noise, as JSON lines."""
    drawn = np.random.default_rng(seed)
    numbers = drawn.normal(size=(count, len(FEATURES))).round(6)
    score = numbers[:, 0] - numbers[:, 1] + numbers[:, 2] * numbers[:, 3] + np.sin(2 * numbers[:, 4])
    up = (score > 0) ^ (drawn.random(count) < 0.1)
    with path.open("w") as file:
        for row, label in zip(numbers.tolist(), up.tolist(), strict=True):
            file.write(json.dumps(dict(zip(FEATURES, row, strict=True)) | {"label": LABELS[label]}) + "\n")
    return path


@dataclass(frozen=True)
class Made:
    """A folder with a configuration and a store, in which one checkpoint is."""

    folder: Path
    port: int
    trainer_port: int

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "freshet.yaml"

    @property
    def store(self) -> CheckpointStore:
        """The store."""
        return CheckpointStore(self.folder / "store", KEPT)

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint that is pointed to."""
        pointer = self.store.latest()
        assert pointer is not None
        return self.store.read(pointer.id)

    def command(self, name: str, *more: str) -> list[str]:
        """Return a command of the service with this configuration."""
        return [sys.executable, "-m", "service", name, *more, "--config", str(self.config)]


def configure(folder: Path) -> Made:
    """Write a configuration: the defaults, but for features, ports and places."""
    folder.mkdir(parents=True, exist_ok=True)
    port, trainer = free_ports(2)
    made = Made(folder, port, trainer)
    tree = {
        "schema": {"numeric": list(FEATURES), "labels": list(LABELS)},
        "source": {"embedded": {"path": str(folder / "log.sqlite")}},
        "store": {"path": str(folder / "store"), "keep": KEPT},
        "trainer": {"port": trainer, "state_path": str(folder / "state")},
        "serve": {"port": port},
        "log": {"format": "json"},
    }
    made.config.write_text(yaml.safe_dump(tree))
    return made


def make(folder: Path, settings: Sequence[str] = ()) -> Made:
    """Write a stream and a configuration, and pre-train on it, with ``settings`` over the defaults."""
    made = configure(folder)
    history = write_events(folder / "history.jsonl", ROWS, seed=0)
    overrides = [word for setting in settings for word in ("--set", setting)]
    command = [*made.command("pretrain", str(history)), *overrides]
    subprocess.run(command, env=environment(), stderr=subprocess.DEVNULL, check=True)
    return made


def copied(made: Made, folder: Path) -> Made:
    """Return the same checkpoint in a folder and with ports of its own."""
    shutil.copytree(made.store.path, folder / "store")
    return configure(folder)


def requests_of(instances: Instances, each: int) -> list[bytes]:
    """Return HTTP requests of ``each`` instances, one after the other."""
    rows = [dict(zip(FEATURES, row, strict=True)) for row in instances.tolist()]
    bodies = [json.dumps({"instances": rows[at : at + each]}).encode() for at in range(0, len(rows), each)]
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return [head.encode() + b"%d\r\n\r\n" % len(body) + body for body in bodies]


def right_scores(model: LearnedModel, instances: Instances) -> Instances:
    """Return the probabilities [count, labels] of a model, in the order of LABELS."""
    outputs = model.predict(instances, np.zeros((len(instances), 0), dtype=np.int64))
    return outputs[:, [model.labels.index(label) for label in LABELS]]


def difference(predictions: Sequence[Mapping[str, Any]], right: Instances) -> float:
    """Return the largest difference between the scores of an answer and what is right, infinite if they do not fit."""
    if len(predictions) != len(right):
        return float("inf")
    scores = np.array([[prediction["scores"][label] for label in LABELS] for prediction in predictions])
    return float(np.abs(scores - right).max())
