"""How fresh is what serves: from an event's `ts` to the first checkpoint trained on it, or later, that answers.

Trainer (`freshet train`) and server (`freshet serve`) run as their users start them, with the defaults but for rounds
every 250 events, while 1,000 events a second of a drifting stream come through Kafka. Every event that was admitted
within the first `--seconds` counts, as the ledger knows it: one never served is infinitely old; events that waited
while learning was on trial are told apart. The feed goes on for a while after them, so that their rounds can come.
Beside the figures stands where the time goes, and what the server's own histogram says of the same events.
Needs a broker: FRESHET_TEST_KAFKA, or Java and Maven, or Docker.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import psutil
import yaml
from freshness_figures import Noted, evaluate
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from river.datasets import synth

from service.store.checkpoints import CheckpointStore
from tests.broker import Broker, free_ports, open_broker

FEATURES = tuple(f"x{index}" for index in range(8))
LABELS = ("a", "b", "c", "d")
TAIL_SECONDS = 10.0
TICK_SECONDS = 0.005
LOOK_SECONDS = 0.004
READY_SECONDS = 120.0
METRIC = "freshet_event_to_served_seconds"


def stream(events: int, jump_events: int | None) -> list[dict[str, Any]]:
    """Return events of four classes around 30 centroids that move all the time, and jump after so many events."""
    length = jump_events or events
    drawn = chain.from_iterable(
        islice(
            synth.RandomRBFDrift(
                3 + place, 4, n_classes=4, n_features=8, n_centroids=30, change_speed=0.0005, n_drift_centroids=30
            ),
            length,
        )
        for place in count()
    )
    return [
        {"features": {FEATURES[at]: round(value, 6) for at, value in row.items()}, "label": LABELS[y]}
        for row, y in islice(drawn, events)
    ]


def tree(folder: Path, broker: Broker, topic: str, every_events: int) -> dict[str, Any]:
    """Return the configuration: the defaults, but for where things are and how often rounds come."""
    server, trainer = free_ports(2)
    return {
        "task": "multiclass",
        "schema": {"numeric": list(FEATURES), "labels": list(LABELS)},
        "source": {
            "kind": "kafka",
            "topic": topic,
            "kafka": {"bootstrap_servers": broker.bootstrap, "group_id": topic},
        },
        "trigger": {"every_events": every_events},
        "store": {"path": str(folder / "store")},
        "trainer": {"port": trainer, "state_path": str(folder / "state")},
        "serve": {"port": server},
        "log": {"format": "json"},
    }


@contextmanager
def running(command: str, folder: Path, settings: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the service, its log in a file, until the block ends; then ask it to stop, and wait."""
    arguments = [sys.executable, "-m", "service", command, "--config", str(folder / "freshet.yaml")]
    for one in settings:
        arguments += ["--set", one]
    with (folder / f"{command}.log").open("wb") as log:
        process = subprocess.Popen(arguments, stderr=log, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_for(url: str, text: str = "") -> None:
    """Return once a URL answers with 200, and with this text in its answer."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(url)
            if answer.status_code == HTTPStatus.OK and text in answer.text:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    message = f"{url} is not ready"
    raise TimeoutError(message)


def feed(broker: Broker, topic: str, events: list[dict[str, Any]], rate: int) -> list[int]:
    """Send events at a steady rate, each with the present as its time; return these times in milliseconds."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=0)
    times: list[int] = []
    began = time.perf_counter()
    while len(times) < len(events):
        due = min(int((time.perf_counter() - began) * rate), len(events))
        for event in events[len(times) : due]:
            times.append(time.time_ns() // 1_000_000)
            producer.send(topic, json.dumps({"ts": times[-1], **event}).encode(), partition=0)
        time.sleep(TICK_SECONDS)
    producer.flush()
    producer.close()
    return times


class Pointers(threading.Thread):
    """Notes when the store's pointer was first seen at each checkpoint, and what its manifest says."""

    def __init__(self, store: CheckpointStore) -> None:
        super().__init__(daemon=True)
        self.noted: Noted = {}
        self.stopping = threading.Event()
        self._store = store

    def run(self) -> None:
        """Look until told to stop."""
        while not self.stopping.wait(LOOK_SECONDS):
            pointer = self._store.latest()
            if pointer is not None and pointer.id not in self.noted:
                self.noted[pointer.id] = time.time(), self._store.manifest(pointer.id)


def own_histogram(url: str) -> dict[str, float]:
    """Return what the server's histogram holds: how many events up to each bound, their number and their sum."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url).text):
        if family.name == METRIC:
            for sample in family.samples:
                found[sample.labels.get("le", sample.name.rpartition("_")[2])] = sample.value
    return found


def phases(url: str) -> dict[str, float]:
    """Return the mean seconds of each phase of a round, from the trainer's metrics."""
    sums: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(httpx.get(url).text):
        if family.name == "freshet_round_duration_seconds":
            for sample in family.samples:
                sums.setdefault(sample.labels["phase"], {})[sample.name.rpartition("_")[2]] = sample.value
    return {phase: round(one["sum"] / one["count"], 4) for phase, one in sums.items() if one["count"]}


def main() -> None:
    """Run once and print one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--every-events", type=int, default=250)
    parser.add_argument("--jump-events", type=int, help="let the concept change at once after so many events")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="leave store, state and logs in this new folder")
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} is there already")
    measured = int(options.seconds * options.rate)
    events = stream(measured + int(TAIL_SECONDS * options.rate), options.jump_events)
    broker = open_broker()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=not options.keep)
        topic = broker.create_topic()
        try:
            print(json.dumps(run(folder, broker, topic, events, measured, options)))
        finally:
            broker.delete(topic)
            broker.close()


def run(
    folder: Path,
    broker: Broker,
    topic: str,
    events: list[dict[str, Any]],
    measured: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Feed trainer and server, stop them, and return the figures."""
    made = tree(folder, broker, topic, options.every_events)
    (folder / "freshet.yaml").write_text(yaml.safe_dump(made))
    server, trainer = (f"http://127.0.0.1:{made[role]['port']}" for role in ("serve", "trainer"))
    pointers = Pointers(CheckpointStore(folder / "store", 3))
    with running("serve", folder, options.set):
        with running("train", folder, options.set):
            wait_for(f"{trainer}/readyz")
            wait_for(f"{trainer}/metrics", "freshet_consumer_lag_events{")  # its group has joined
            wait_for(f"{server}/healthz")
            pointers.start()
            load = psutil.getloadavg()[0]
            times = feed(broker, topic, events, options.rate)
            time.sleep(1.0)
            means, own = phases(f"{trainer}/metrics"), own_histogram(f"{server}/metrics")
        pointers.stopping.set()
        pointers.join()
    figures = evaluate(folder, times, pointers.noted, measured, own)
    return figures | {"mean_round_seconds": means, "machine_load_before": round(load, 2)}


if __name__ == "__main__":
    main()
