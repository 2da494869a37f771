"""DESIGN's row "SIGTERM": whatever a role is doing or waiting for, it ends with exit code 0 inside the grace time."""

import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, embedded, settings_of, stop, worker_of
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Producer, Pump
from tests.acceptance.test_disk_faults import full_disk
from tests.acceptance.test_worker_faults import with_worker
from tests.ports import free_port

GRACE_SECONDS = 4.0
MARGIN_SECONDS = 20.0
"""For a busy machine; what would hang without a bound hangs for longer."""

Prepared = Iterator[Process]
Prepare = Callable[[Service, Producer], Prepared]


def catches_sigterm(process: Process) -> bool:
    """Tell whether a process has come so far that SIGTERM does not simply end it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1)


def idle(service: Service, producer: Producer) -> Prepared:  # noqa: ARG001
    """Nothing comes in."""
    trainer = service.start("train")
    service.await_ready(trainer=True)
    yield trainer


def under_load(service: Service, producer: Producer) -> Prepared:
    """Records come in, rounds go on, checkpoints go out."""
    trainer = service.start("train")
    with Pump(producer):
        service.await_ready(trainer=True)
        eventually(lambda: service.accepted() > 300, "rounds to go on")
        yield trainer


def in_a_long_round(service: Service, producer: Producer) -> Prepared:
    """The worker is in the middle of a training of many minutes."""
    trainer = service.start("train", "--set", "train.first_steps=10000000", "--set", "train.stopping_share=0")
    producer.send(400)
    eventually(lambda: list((service.folder / "state" / "rounds").glob("*/round.json")), "a round to begin")
    yield trainer


def worker_hung(service: Service, producer: Producer) -> Prepared:
    """The worker is stopped, and it is too early to take it for dead."""
    trainer, _ = with_worker(service, "hang")
    producer.send(400)
    eventually(lambda: list((service.folder / "state" / "rounds").glob("*/round.json")), "a round to begin")
    time.sleep(0.3)
    yield trainer


def worker_starting(service: Service, producer: Producer) -> Prepared:
    """The worker imports torch."""
    producer.send(400)
    trainer = service.start("train", prefix=("env",))
    eventually(lambda: worker_of(trainer) is not None, "the worker to be started")
    yield trainer


def standing_by(service: Service, producer: Producer) -> Prepared:  # noqa: ARG001
    """Another trainer learns, whose lease does not lapse however long it gets no turn."""
    held = ("--set", "trainer.lease_seconds=60")
    first = service.start("train", *held)
    service.await_ready(trainer=True)
    service.trainer_port = free_port()
    second = service.start("train", *held, "--set", f"trainer.port={service.trainer_port}")
    eventually(lambda: "standing by" in service.said(), "the second trainer to stand by")
    yield second
    stop(first)


def broker_away(service: Service, producer: Producer) -> Prepared:  # noqa: ARG001
    """Kafka does not answer."""
    port = f"source.kafka.bootstrap_servers=127.0.0.1:{free_port()}"
    trainer = service.start("train", "--set", "source.kind=kafka", "--set", port)
    eventually(lambda: "source does not answer" in service.said(), "the trainer to say so")
    yield trainer


def dead_letters_blocked(service: Service, producer: Producer) -> Prepared:
    """Nothing can be appended to the dead letters, nor to the log."""
    trainer = service.start("train")
    producer.send(400)
    eventually(lambda: service.accepted() > 0, "records to come in")
    with closing(sqlite3.connect(settings_of(service).source.embedded.path, timeout=60, isolation_level=None)) as other:
        producer.send(100)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.0)
        yield trainer


def disk_full(service: Service, producer: Producer) -> Prepared:
    """Nothing can be written at all."""
    trainer = service.start("train", piped=True)
    with Pump(producer):
        eventually(lambda: service.accepted() > 300, "rounds to go on")
        full_disk(trainer, full=True)
        eventually(lambda: "cannot be written; trying again" in service.said(), "the trainer to say so")
        yield trainer


def disk_hangs(service: Service, producer: Producer) -> Prepared:
    """The disk has stopped to answer in the middle of a snapshot, and will not for ever."""
    trace = service.folder / "trace"
    before = ("--at", "snapshot file", "--count", "9", "--end", "hang", "--folder", str(service.folder))
    trainer = service.start(
        "train", module="tests.acceptance.crash_points", before=(*before, "--trace", str(trace), "--")
    )
    with Pump(producer):
        eventually(lambda: trace.exists() and "died before" in trace.read_text(), "the disk to hang")
        yield trainer


STATES: dict[str, Prepare] = {
    state.__name__: state
    for state in (
        idle,
        under_load,
        in_a_long_round,
        worker_hung,
        worker_starting,
        standing_by,
        broker_away,
        dead_letters_blocked,
        disk_full,
        disk_hangs,
    )
}


@pytest.mark.parametrize("state", STATES)
def test_sigterm(state: str, make_service: MakeService, nursery: Nursery) -> None:
    """The trainer exits 0 in time, without a traceback; started again it takes in all that is left."""
    service, producer = embedded(make_service, nursery, trainer={"grace_seconds": GRACE_SECONDS})
    with contextmanager(STATES[state])(service, producer) as trainer:
        trainer.terminate()
        assert trainer.wait(GRACE_SECONDS + MARGIN_SECONDS) == 0
        assert "Traceback" not in service.said()
    service.forget_status()
    producer.send(600)
    again = service.start("train")
    await_all_taken_in(service, producer)
    eventually((service.folder / "store" / "latest").exists, "a checkpoint")
    stop(again)
    assert_adds_up(service, producer)
    producer.close()


@pytest.mark.chaos
def test_sigterm_at_any_moment(make_service: MakeService, nursery: Nursery) -> None:
    """At twelve random moments under load, publications among them."""
    service, producer = embedded(make_service, nursery, trainer={"grace_seconds": GRACE_SECONDS})
    moments = random.Random(12)  # noqa: S311 - when to stop is no secret
    with Pump(producer):
        for _ in range(12):
            trainer = service.start("train")
            eventually(lambda trainer=trainer: catches_sigterm(trainer), "the program's first line")
            time.sleep(moments.uniform(0.0, 1.0))
            trainer.terminate()
            assert trainer.wait(GRACE_SECONDS + MARGIN_SECONDS) == 0
    service.forget_status()
    trainer = service.start("train")
    await_all_taken_in(service, producer)
    stop(trainer)
    assert_adds_up(service, producer)
    producer.close()


@pytest.mark.parametrize("role", ["train", "serve", "run"])
@pytest.mark.parametrize("seconds", [0.5, pytest.param(1.5, marks=pytest.mark.chaos)])
def test_sigterm_while_starting(role: str, seconds: float, make_service: MakeService) -> None:
    """In the middle of its imports, too, where nothing is there yet to be stopped."""
    service = make_service(trainer={"grace_seconds": GRACE_SECONDS})
    process = service.start(role)
    eventually(lambda: catches_sigterm(process), "the program's first line: before it there is nothing to catch it")
    time.sleep(seconds)
    process.terminate()
    assert process.wait(GRACE_SECONDS + MARGIN_SECONDS) == 0
    assert "Traceback" not in service.said(role=role)


def test_sigterm_ends_the_server(make_service: MakeService, nursery: Nursery) -> None:
    """Also while it waits for the first checkpoint; `test_server_process.py` holds what becomes of open requests."""
    service = make_service(nursery=nursery)
    server = service.start("serve")
    eventually(lambda: service.get("/healthz") is not None, "the server to answer")
    server.send_signal(signal.SIGTERM)
    assert server.wait(GRACE_SECONDS + MARGIN_SECONDS) == 0
