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
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import numpy as np
import psutil
import yaml
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from river.datasets import synth

from service.store.checkpoints import CheckpointStore
from service.store.clock import utc_seconds
from service.store.fates import read_fates
from service.store.manifest import Manifest
from tests.broker import Broker, free_ports, open_broker

FEATURES = tuple(f"x{index}" for index in range(8))
LABELS = ("a", "b", "c", "d")
TAIL_SECONDS = 10.0
TICK_SECONDS = 0.005
LOOK_SECONDS = 0.004
READY_SECONDS = 120.0
APART = ("held_out", "dead_lettered", "rolled_back", "no_record")
METRIC = "freshet_event_to_served_seconds"


def stream(events: int) -> list[dict[str, Any]]:
    """Return events of four classes around 30 centroids that move all the time."""
    drawn = synth.RandomRBFDrift(
        3, 4, n_classes=4, n_features=8, n_centroids=30, change_speed=0.0005, n_drift_centroids=30
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


def wait_for(url: str, statuses: tuple[int, ...]) -> None:
    """Return once a URL answers with one of these statuses."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code in statuses:
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
        self.seen: dict[str, float] = {}
        self.manifests: dict[str, Manifest] = {}
        self.stopping = threading.Event()
        self._store = store

    def run(self) -> None:
        """Look until told to stop."""
        while not self.stopping.wait(LOOK_SECONDS):
            pointer = self._store.latest()
            if pointer is not None and pointer.id not in self.seen:
                self.seen[pointer.id] = time.time()
                self.manifests[pointer.id] = self._store.manifest(pointer.id)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a file."""
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def swaps(log: Path) -> dict[str, float]:
    """Return when each checkpoint first served, in Unix seconds."""
    found: dict[str, float] = {}
    for line in lines(log):
        if line.get("event") == "checkpoint serves":
            found.setdefault(line["checkpoint"], datetime.fromisoformat(line["timestamp"]).timestamp())
    return found


def spells(journal: Path) -> list[tuple[float, float]]:
    """Return from when to when learning was on trial, in Unix seconds."""
    found: list[tuple[float, float]] = []
    for line in lines(journal):
        if line["event"] != "suspicion":
            continue
        at = utc_seconds(line["at"])
        if line["what"] == "entered":
            found.append((at, np.inf))
        elif line["what"] in ("changed", "noise", "expired"):
            found[-1] = (found[-1][0], at)
    return found


def quantiles(values: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """Return what is told of a distribution, None where it is infinite."""
    if not len(values):
        return {}
    found = {f"p{q}": float(np.quantile(values, q / 100, method="higher")) for q in (50, 95, 99)}
    found["max"] = float(values.max())
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in found.items()}


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


def evaluate(folder: Path, times: list[int], pointers: Pointers, measured: int) -> dict[str, Any]:
    """Return the figures of the first ``measured`` events."""
    fates = read_fates(folder / "state")
    assert fates is not None
    [runs] = fates.runs.values()
    counted = np.ones(measured, dtype=bool)
    of_fate = Counter[str]()
    for run in runs:
        first, last = run.first, min(run.last + 1, measured)
        of_fate[run.fate] += max(last - first, 0)
        counted[first:last] &= run.fate not in APART
    served = np.full(measured, np.inf)
    newest = np.full(measured, -1)
    pointed, swapped = pointers.seen, swaps(folder / "serve.log")
    ids = sorted(swapped, key=lambda one: swapped[one])
    stages: dict[str, list[float]] = {"created_to_pointed": [], "pointed_to_served": []}
    created = []
    reached = 0
    for number, one in enumerate(ids):
        manifest = pointers.manifests[one]
        created.append(utc_seconds(manifest.created_at))
        stages["created_to_pointed"].append(pointed[one] - created[-1])
        stages["pointed_to_served"].append(max(swapped[one] - pointed[one], 0.0))
        following = manifest.follows[0].offset if manifest.follows else 0
        if following > reached:
            served[reached:following], newest[reached:following] = swapped[one], number
            reached = following
    stamps = np.array(times[:measured]) / 1_000
    ages = served - stamps
    on_trial = np.zeros(measured, dtype=bool)
    for begin, end in spells(folder / "store" / "decisions.jsonl"):
        on_trial |= (stamps < end) & (served > begin)
    clear = counted & ~on_trial
    answered = clear & (newest >= 0)
    until_made = np.array(created)[newest[answered]] - stamps[answered]
    decisions = [line for line in lines(folder / "store" / "decisions.jsonl") if line["event"] == "decision"]
    reasons = Counter(f"{line['decision']} {line['reason']}" for line in decisions)
    finite = ages[clear & np.isfinite(ages)]
    return {
        "events": measured,
        "fates": dict(of_fate),
        "learnable": int(counted.sum()),
        "on_trial_apart": int((counted & on_trial).sum()),
        "never_served": int((clear & ~np.isfinite(ages)).sum()),
        "seconds": quantiles(ages[clear]),
        "seconds_on_trial": quantiles(ages[counted & on_trial]),
        "mean_seconds": round(float(finite.mean()), 3),
        "until_checkpoint_made": quantiles(until_made),
        **{name: quantiles(np.array(values)) for name, values in stages.items()},
        "checkpoints_served": len(ids),
        "checkpoints_pointed": len(pointed),
        "decisions": dict(reasons.most_common()),
        "longest_run_of_rejections": longest([line["decision"] != "promote" for line in decisions]),
    }


def longest(flags: list[bool]) -> int:
    """Return the length of the longest run of true ones."""
    best = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        best = max(best, current)
    return best


def main() -> None:
    """Run once and print one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--every-events", type=int, default=250)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="leave store, state and logs in this folder")
    options = parser.parse_args()
    measured = int(options.seconds * options.rate)
    events = stream(measured + int(TAIL_SECONDS * options.rate))
    broker = open_broker()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
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
            wait_for(f"{trainer}/readyz", (200,))
            wait_for(f"{server}/healthz", (200,))
            pointers.start()
            load = psutil.getloadavg()[0]
            times = feed(broker, topic, events, options.rate)
            time.sleep(1.0)
            means, own = phases(f"{trainer}/metrics"), own_histogram(f"{server}/metrics")
        pointers.stopping.set()
        pointers.join()
    figures = evaluate(folder, times, pointers, measured)
    return figures | {"round_seconds": means, "server_histogram": own, "machine_load_before": round(load, 2)}


if __name__ == "__main__":
    main()
