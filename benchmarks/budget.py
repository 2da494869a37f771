"""Is `trigger.budget_share` kept? What the training worker costs while rounds are wanted more often than it allows.

The trainer runs on an embedded log as in production; events come faster than rounds may begin. The processor time of
the worker, its start included, is measured from outside, against the clock.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil

from service.ingest.connect import open_sink
from service.observer import Observer
from service.settings import Settings
from service.store.status import read_status
from service.trainer import Readiness, learn

NAMES = tuple(f"x{index}" for index in range(8))
SLICE_SECONDS = 0.05

EVERY = 50
"""Events after which a round is wanted: at 1,000 a second twenty times a second, several cores' worth."""

STEPS = 60
"""Optimiser steps of a round: long enough that it is the budget that holds rounds back, on a busy machine too."""


class Rounds(Observer):
    """Counts rounds by why they were begun, and adds up what the trainer was told that they cost."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.told_seconds = 0.0

    def triggered(self, reason: str) -> None:
        """Count a round."""
        self.begun[reason] = self.begun.get(reason, 0) + 1

    def charged(self, cpu_seconds: float) -> None:
        """Add up."""
        self.told_seconds += cpu_seconds


def worker_seconds() -> float:
    """Return the processor time of all training workers that this process has now."""
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        if "service.train" in child.cmdline():
            times = child.cpu_times()
            spent += times.user + times.system
    return spent


def send(settings: Settings, rate: float, seconds: float) -> int:
    """Send events evenly paced; return how many."""
    random = np.random.default_rng(0)
    sink = open_sink(settings)
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds:
        for _ in range(int(elapsed * rate) - sent):
            numbers = random.normal(size=len(NAMES))
            label = "UP" if numbers.sum() + random.normal() > np.sin(sent / 5_000) else "DOWN"
            event = {"features": dict(zip(NAMES, numbers.tolist(), strict=True)), "label": label}
            sink.send(settings.source.topic, json.dumps(event).encode())
            sent += 1
        sink.flush()
        time.sleep(SLICE_SECONDS)
    sink.close()
    return sent


def main() -> None:
    """Print the share of a core that training took, and what was allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long events are sent")
    parser.add_argument("--share", type=float, default=0.1, help="trigger.budget_share")
    parser.add_argument("--rate", type=float, default=1_000, help=f"events a second; a round is wanted every {EVERY}")
    given = parser.parse_args()
    rounds, stop, readiness = Rounds(), threading.Event(), Readiness()
    with tempfile.TemporaryDirectory() as folder:
        tree: dict[str, Any] = {
            "schema": {"numeric": NAMES, "labels": ["DOWN", "UP"]},
            "trigger": {"every_events": EVERY, "budget_share": given.share, "backoff_rounds": None},
            "train": {"steps": STEPS},
            "store": {"path": f"{folder}/store"},
            "trainer": {"state_path": f"{folder}/state"},
            "source": {"kind": "embedded", "embedded": {"path": f"{folder}/log.sqlite"}},
        }
        settings = Settings.model_validate(tree)
        trainer = threading.Thread(target=learn, args=(settings, rounds, stop, readiness))
        began = time.monotonic()
        trainer.start()
        while readiness() is not None:
            time.sleep(0.1)
        sent = send(settings, given.rate, given.seconds)
        spent, wall = worker_seconds(), time.monotonic() - began
        stop.set()
        trainer.join()
        status = read_status(settings.store.path) or {}
    told = {
        "share": round(spent / wall, 4),
        "allowed": given.share,
        "within_a_tenth": abs(spent / wall - given.share) <= given.share / 10,
        "worker_cpu_seconds": round(spent, 2),
        "told_cpu_seconds": round(rounds.told_seconds, 2),
        "seconds": round(wall, 1),
        "events": sent,
        "rounds": rounds.begun,
        "ended": status.get("rounds"),
        "balance_seconds": status.get("trigger", {}).get("budget_balance_seconds"),
        "rounds_wanted": sent // EVERY,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
