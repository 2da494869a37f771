"""DESIGN's first row, "trainer killed at any instruction": at every durable step, before it and after it."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeService, Process, Service
from tests.acceptance.crash_points import AFTER, BEFORE, POINTS
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, embedded, on_kafka, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Producer
from tests.broker import Broker

EVENTS = 1_000
BATCH = 25

SECOND_TIME = {"checkpoint file": 5, "snapshot file": 7, "status": 7, "offset commit": 3}
"""Where the n-th such step says more than the second: it belongs to a later publication, snapshot or report."""

BORDERS = {"checkpoint rename", "snapshot rename", "ledger append", "pointer move", "dead letters", "offset commit"}
"""Behind these something new is durable; behind the others CI need not look, for the next step is soon after."""

ONCE = {"store identity", "lease number", "ledger name", "folder made", "checkpoint removal"}
"""What a trainer does once on an empty disk, or seldom."""


def run_into(service: Service, producer: Producer, *options: str) -> tuple[Process, Path]:
    """Feed a trainer that records its durable steps until it has died, or where it is not to, has done each of them."""
    trace = service.folder / "trace"
    trace.touch()
    before = (*options, "--folder", str(service.folder), "--trace", str(trace), "--")
    service.forget_status()
    producer.send(BATCH)
    trainer = service.start("train", module="tests.acceptance.crash_points", before=before)
    deadline = time.monotonic() + 60
    while (
        trainer.poll() is None and time.monotonic() < deadline and not {name for name, _ in steps(trace)} >= {*POINTS}
    ):
        producer.send(BATCH)
        time.sleep(0.02)
    return trainer, trace


def steps(trace: Path) -> list[tuple[str, str]]:
    """Return name and detail of every recorded step."""
    return [(name, step) for name, _, step in (line.partition("\t") for line in trace.read_text().splitlines())]


def test_every_durable_step_has_a_name(make_service: MakeService, nursery: Nursery) -> None:
    """What the trainer syncs, renames and commits is in the table of crash points, and the table holds no more."""
    service, producer = embedded(make_service, nursery, store={"keep": 3})
    trainer, trace = run_into(service, producer)
    await_all_taken_in(service, producer)
    stop(trainer)
    done = Counter(steps(trace))
    assert [step for name, step in done if name == "None"] == []
    assert {name for name, _ in done} == set(POINTS)


@pytest.mark.parametrize(
    ("point", "when"),
    [
        pytest.param(point, when, marks=pytest.mark.chaos if when == AFTER and point not in BORDERS else ())
        for point in POINTS
        for when in (BEFORE, AFTER)
    ],
)
def test_trainer_killed_at_any_instruction(point: str, when: str, make_service: MakeService, nursery: Nursery) -> None:
    """It dies there; the next one goes on from what is durable, and every event counts once."""
    service, producer = embedded(make_service, nursery, store={"keep": 3 if point == "checkpoint removal" else 10_000})
    die_and_go_on(service, producer, point, when)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("point", "when"),
    [
        ("dead letters", AFTER),
        ("offset commit", BEFORE),
        pytest.param("dead letters", BEFORE, marks=pytest.mark.chaos),
        pytest.param("offset commit", AFTER, marks=pytest.mark.chaos),
        pytest.param("pointer move", BEFORE, marks=pytest.mark.chaos),
        pytest.param("pointer move", AFTER, marks=pytest.mark.chaos),
    ],
)
def test_trainer_killed_at_any_instruction_on_kafka(
    point: str, when: str, make_service: MakeService, kafka: Broker, nursery: Nursery
) -> None:
    """The same where offsets and dead letters are the broker's; one partition, so that its records come in order."""
    service, producer = on_kafka(make_service, kafka, 1, nursery)
    die_and_go_on(service, producer, point, when, "--kafka")


def die_and_go_on(service: Service, producer: Producer, point: str, when: str, *options: str) -> None:
    """Run a trainer into a point, start its successor, and add up."""
    nth = 1 if point in ONCE else SECOND_TIME.get(point, 2)
    trainer, trace = run_into(service, producer, "--at", point, "--when", when, "--count", str(nth), *options)
    assert trainer.wait(60) == -9
    assert (f"died {when}", point) in steps(trace)  # other threads may have done a step more meanwhile
    service.forget_status()
    follower = service.start("train")
    producer.send(max(BATCH, EVENTS - len(producer.produced[0])))
    await_all_taken_in(service, producer)
    stop(follower)
    assert_adds_up(service, producer)
    producer.close()
