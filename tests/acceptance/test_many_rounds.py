"""Nothing grows: memory, files and descriptors after 10,000 rounds are what they were after 2,000."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import psutil
import pytest

from tests.acceptance.conftest import Figure, MakeService, Process, Service
from tests.acceptance.faults import worker_of
from tests.acceptance.producers import EmbeddedProducer, Pump

ROUNDS = int(os.environ.get("FRESHET_CHAOS_ROUNDS", "10000"))
GROWTH = 1.05
SAMPLES = 9

TINY = {
    "window": {"events": 100, "replay_events": 200, "recent_events": 50, "memory_events": 100},
    "trigger": {"every_events": 10, "min_events": 1},
    "train": {"steps": 1, "first_steps": 2, "batch_size": 32, "model": {"hidden": [4]}},
    "gate": {"enabled": False},
    "trainer": {"snapshot_seconds": 1.0},
}
"""Rounds as short as they get, each of them published; what is kept of them is bounded by the defaults."""


def sizes(service: Service, trainer: Process) -> dict[str, float]:
    """Return resident bytes of trainer and worker, files in store and state, and the trainer's open descriptors.

    Medians of a few looks: a round in flight holds more than none.
    """
    looks: dict[str, list[float]] = {"trainer": [], "worker": [], "files": [], "descriptors": []}
    while len(looks["files"]) < SAMPLES:
        time.sleep(0.23)
        worker = worker_of(trainer)
        assert worker is not None
        process = psutil.Process(trainer.pid)
        looks["trainer"].append(process.memory_info().rss)
        looks["worker"].append(worker.memory_info().rss)
        looks["descriptors"].append(process.num_fds())
        looks["files"].append(sum(files(service)))
    return {name: statistics.median(values) for name, values in looks.items()}


def files(service: Service) -> Iterator[int]:
    """Yield how many files each folder of store and state holds, whatever comes and goes meanwhile."""
    for part in ("store", "state"):
        for _, _, names in os.walk(service.folder / part):
            yield len(names)


def rounds(service: Service) -> int:
    """Return how many rounds were started."""
    with suppress(ValueError):
        return int(service.status().get("rounds", {}).get("started", 0))
    return 0


@pytest.mark.chaos
@pytest.mark.timeout(14_400)
def test_nothing_grows_over_10_000_rounds(make_service: MakeService, figure: Figure) -> None:
    """Resident memory, files and descriptors at the end are at most 1.05 times those at one fifth."""
    service = make_service(**TINY)
    producer = EmbeddedProducer(service.folder / "log.sqlite")
    trainer = service.start("train")
    with Pump(producer, batch=10, pause_seconds=0.04):
        seen: dict[int, dict[str, float]] = {}
        for mark in (max(ROUNDS * fifth // 5, 1) for fifth in count(1)):
            while rounds(service) < mark:
                assert trainer.poll() is None
                time.sleep(0.5)
            seen[mark] = sizes(service, trainer)
            figure(f"{mark} rounds: {seen[mark]}")
            if mark >= ROUNDS:
                break
    producer.close()
    first, last = seen[min(seen)], seen[max(seen)]
    for name, size in last.items():
        assert size <= GROWTH * first[name], name
