"""How much slower the slowest answers are while models are swapped and fine-tuned: `tails.py`.

A server on the first core; on the second the load generator, and beside it one of

burner   a process of the worker's niceness that only burns processor time: the reference
swaps    the same, and a checkpoint of other weights published every second
tuning   `freshet train` at work on a stream in place of the burner: a round every second, each of them published

p99 is the server's own, read off the histogram of `/metrics` before and after, spread evenly within its buckets.
Two loads: 32 connections in a closed loop, and an open loop at half the rate that the reference reached in the closed
one. Server, store and trainer are new for each run; medians are told, and ratios to the reference run by run.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from histogram import DURATION, buckets, quantile, scrape, total
from load import Load, Outcome, Requests
from made import PATH, Made, copied, environment, make, requests_of, some_instances, write_events
from publishing import Publisher, perturbed
from servers import READY_SECONDS, running, stop, used_seconds

BESIDE = ("burner", "swaps", "tuning")
LOADS = ("closed", "open")
WARM_SECONDS = 2.0
NICENESS = 5
"""The default of train.worker.niceness."""

Row = dict[str, float]


def burn() -> None:
    """Burn processor time."""
    os.nice(NICENESS)
    while True:
        pass


@contextmanager
def burner() -> Iterator[int]:
    """Burn until the block ends; gives the process's id."""
    process = multiprocessing.get_context("fork").Process(target=burn, daemon=True)
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()


@contextmanager
def tuning(made: Made, seconds: float, options: argparse.Namespace) -> Iterator[int]:
    """Train on a stream until the block ends, which begins once a first round is published; gives the trainer's id."""
    events = write_events(made.folder / "stream.jsonl", int((seconds + READY_SECONDS) * options.rate), seed=2)
    whole = ("train.stopping_patience=1000", "gate.enabled=false")  # every round has all its steps, and is published
    settings = (f"trigger.every_events={options.rate}", f"train.steps={options.steps}", *whole)
    train = made.command("train", *(word for one in settings for word in ("--set", one)))
    send = made.command("send", str(events), "--rate", str(options.rate))
    with (made.folder / "train.log").open("wb") as log:
        started = [
            subprocess.Popen(command, env=environment(), stdout=log, stderr=log, start_new_session=True)
            for command in (train, send)
        ]
        try:
            wait_for_round(made)
            yield started[0].pid
        finally:
            for process in started:
                stop(process)


def wait_for_round(made: Made) -> None:
    """Return once the trainer has published; raises TimeoutError if it does not."""
    first, deadline = made.checkpoint().manifest.id, time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if made.checkpoint().manifest.id != first:
            return
        time.sleep(0.2)
    raise TimeoutError(f"no round was published; see {made.folder / 'train.log'}")


def observe(load: Load, made: Made, seconds: float, rate: float | None, every_second: Publisher | None) -> Row:
    """Put load on the server for so long; return what it says of it."""
    began, published = time.monotonic(), 0

    def publish(_: int) -> None:
        nonlocal published
        if every_second is not None and time.monotonic() - began > published:
            every_second.publish()
            published += 1

    before = scrape(made.port)
    outcome: Outcome = load.run(seconds=seconds, rate=rate, each=publish)
    after = scrape(made.port)
    if outcome.failures:
        sys.exit(f"failed: {dict(outcome.failures)}; see {made.folder}")
    counted = [buckets(text, DURATION, route=PATH, status="200") for text in (before, after)]
    swapped = [total(text, "freshet_swaps_total", outcome="swapped") for text in (before, after)]
    return {
        "p50 ms": 1_000 * quantile(*counted, 0.5),
        "p99 ms": 1_000 * quantile(*counted, 0.99),
        "requests/s": outcome.rate,
        "client's p99 ms": outcome.quantile_ms(0.99),
        "swaps": swapped[1] - swapped[0],
    }


def measure(beside: str, made: Made, rate: float | None, options: argparse.Namespace) -> Row:
    """Start a server and what is beside it; return the figures of one run."""
    seconds: float = options.seconds
    requests = Requests(requests_of(some_instances(256), 1), 60, 250)
    with running("freshet", made, made.port):
        publisher = None
        if beside == "swaps":
            first = made.checkpoint()
            checkpoints = [perturbed(first, number + 1) for number in range(int(seconds) + 2)]
            publisher = Publisher(made.store.path, checkpoints)
        with tuning(made, seconds, options) if beside == "tuning" else burner() as process:
            load = Load(made.port, requests, options.connections)
            load.run(seconds=WARM_SECONDS, rate=rate)
            used = used_seconds(process)
            row = observe(load, made, seconds, rate, publisher)
            row["beside, of a core"] = (used_seconds(process) - used) / seconds
            load.close()
        if publisher is not None:
            publisher.close()
    return row


def table(name: str, runs: dict[str, list[Row]]) -> list[dict[str, Any]]:
    """Print medians and ratios under one load; return them."""
    columns = list(next(iter(runs.values()))[0])
    print(f"\n| {name} | {' | '.join(columns)} | p99 x {BESIDE[0]} |\n|{'---|' * (len(columns) + 2)}")
    rows = []
    for beside, own in runs.items():
        told: dict[str, Any] = {key: statistics.median(run[key] for run in own) for key in columns}
        ratios = [mine["p99 ms"] / theirs["p99 ms"] for mine, theirs in zip(own, runs[BESIDE[0]], strict=True)]
        told["ratio"] = statistics.median(ratios)
        rows.append({"load": name, "beside": beside} | told)
        print(f"| {beside} | {' | '.join(f'{told[key]:,.2f}' for key in columns)} | {told['ratio']:.2f} |", flush=True)
    return rows


def main() -> None:
    """Print a table for each load, and all of it as one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run, after two of warming up")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=list(LOADS), help=",".join(LOADS))
    parser.add_argument("--rate", type=int, default=500, help="events a second for the trainer: so many make a round")
    parser.add_argument(
        "--steps",
        type=int,
        default=300,
        help="of each round: thirty times the default, so that the worker hardly rests",
    )
    parser.add_argument("--keep", type=Path, help="leave stores and logs in this folder")
    options = parser.parse_args()
    runs: dict[str, dict[str, list[Row]]] = {name: {beside: [] for beside in BESIDE} for name in options.loads}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        first = make(folder / "first")
        half = measure(BESIDE[0], copied(first, folder / "half"), None, options)["requests/s"] / 2
        for repeat in range(options.repeats):
            for name in options.loads:
                for beside in BESIDE:
                    place = folder / f"{name}-{beside}-{repeat}"
                    row = measure(beside, copied(first, place), half if name == "open" else None, options)
                    runs[name][beside].append(row)
                    told = {key: round(value, 2) for key, value in row.items()}
                    print(f"run {repeat + 1}, {name}, {beside}: {told}", file=sys.stderr, flush=True)
                    if options.keep is None:
                        shutil.rmtree(place)
    print(json.dumps([row for name, own in runs.items() for row in table(name, own)]))


if __name__ == "__main__":
    main()
