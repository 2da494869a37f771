"""The gap between two polls of a real broker while rounds run back to back.

Trainer and its training worker as in production; events come at 2,000 a second and every 100 of them make a round due,
so that the next round begins as soon as the last is published. Needs a broker, as benchmarks/ingest.py does.
"""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from kafka import KafkaProducer

from service.observer import Observer
from service.settings import Settings
from service.trainer import Readiness, learn
from tests.broker import open_broker

SECONDS = 60
RATE = 2_000
NAMES = tuple(f"x{index}" for index in range(8))


class Gaps(Observer):
    """Keeps every gap, and counts rounds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.rounds = 0

    def polled(self, gap_seconds: float) -> None:
        """Keep a gap."""
        self.seconds.append(gap_seconds)

    def round_ended(self, outcome: str) -> None:
        """Count a round."""
        self.rounds += outcome != "failed"


def send(bootstrap: str, topic: str) -> int:
    """Send for SECONDS at RATE; return how many events."""
    random = np.random.default_rng(0)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        for _ in range(int((time.monotonic() - began) * RATE) - sent):
            numbers = random.normal(size=len(NAMES))
            label = "UP" if numbers.sum() + random.normal() > np.sin(sent / 5_000) else "DOWN"
            event = {"features": dict(zip(NAMES, numbers.tolist(), strict=True)), "label": label}
            producer.send(topic, json.dumps(event).encode())
            sent += 1
        time.sleep(0.005)
    producer.flush()
    producer.close()
    return sent


def main() -> None:
    """Print quantiles of the gap."""
    broker = open_broker()
    gaps, stop, readiness = Gaps(), threading.Event(), Readiness()
    with tempfile.TemporaryDirectory() as folder:
        topic = broker.create_topic()
        tree: dict[str, Any] = {
            "schema": {"numeric": NAMES, "labels": ["DOWN", "UP"]},
            "trigger": {"every_events": 100},
            "store": {"path": f"{folder}/store"},
            "trainer": {"state_path": f"{folder}/state"},
            "source": {
                "kind": "kafka",
                "topic": topic,
                "kafka": {"bootstrap_servers": broker.bootstrap, "group_id": topic},
            },
        }
        trainer = threading.Thread(target=learn, args=(Settings.model_validate(tree), gaps, stop, readiness))
        trainer.start()
        while readiness() is not None:
            time.sleep(0.1)
        gaps.seconds.clear()
        sent = send(broker.bootstrap, topic)
        quantiles = np.quantile(gaps.seconds, [0.5, 0.99, 0.999, 1.0]) * 1_000
        stop.set()
        trainer.join()
    broker.close()
    names = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
    told = {name: round(float(value), 2) for name, value in zip(names, quantiles, strict=True)}
    print(json.dumps({"events": sent, "rounds": gaps.rounds, "polls": len(gaps.seconds), **told}))


if __name__ == "__main__":
    main()
