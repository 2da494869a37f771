"""DESIGN's first row, "trainer killed at any instruction": SIGKILL at random instants, under load, with the others."""

import os
import random
import time

import pytest

from tests.acceptance.conftest import Figure, MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, count, embedded, kill_worker, on_kafka, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Producer, Pump
from tests.broker import Broker

LONG_KILLS = int(os.environ.get("FRESHET_CHAOS_KILLS", "200"))
PARTITIONS = 4


def kill_at_random(service: Service, producer: Producer, kills: int, longest_seconds: float) -> str:
    """Kill the trainer so many times, at times in its start; worker and server now and then beside; then add up.

    A trainer lives up to ``longest_seconds``: half of them from their birth, half from when they have taken records in.
    """
    moments = random.Random(kills)  # noqa: S311 - when to kill is no secret
    trainer, server = service.start("train"), service.start("serve")
    with Pump(producer):
        for kill in range(kills):
            if kill % 2:
                before = service.accepted()
                eventually(lambda before=before: service.accepted() > before, "the trainer to take records in")
            time.sleep(moments.uniform(0.0, longest_seconds))
            if kill % 3 == 0:
                kill_worker(trainer)
                time.sleep(moments.uniform(0.0, 0.3))
            if kill % 5 == 4:
                server = replaced(service, server, "serve")
            trainer = replaced(service, trainer, "train")
    await_all_taken_in(service, producer)
    stop(trainer)
    service.await_ready()
    assert service.predict(a=1.0, b=1.0).status_code == 200
    stop(server)
    assert_adds_up(service, producer)
    producer.close()
    return f"{kills} kills of the trainer, {count(producer.produced)} records: 0 lost, 0 twice"


def replaced(service: Service, process: Process, role: str) -> Process:
    """Kill a process, which must have lived until now, and start its successor."""
    assert process.poll() is None
    process.kill()
    assert process.wait() == -9
    if role == "train":
        service.forget_status()
    return service.start(role)


def test_trainer_killed_at_random_on_the_embedded_log(make_service: MakeService, nursery: Nursery) -> None:
    """14 kills: nothing is lost, nothing counts twice."""
    service, producer = embedded(make_service, nursery)
    kill_at_random(service, producer, kills=14, longest_seconds=1.0)


@pytest.mark.chaos
@pytest.mark.kafka
def test_trainer_killed_at_random_on_kafka(make_service: MakeService, kafka: Broker, nursery: Nursery) -> None:
    """6 kills on 4 partitions, of which the group gives a new member none until the killed one's session is over."""
    service, producer = on_kafka(make_service, kafka, PARTITIONS, nursery)
    kill_at_random(service, producer, kills=6, longest_seconds=1.0)


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_trainer_killed_at_random_many_times(make_service: MakeService, figure: Figure) -> None:
    """The long form on the embedded log, each process started from scratch, so that imports are killed too."""
    service, producer = embedded(make_service)
    figure(kill_at_random(service, producer, kills=LONG_KILLS * 3 // 4, longest_seconds=6.0))


@pytest.mark.chaos
@pytest.mark.kafka
@pytest.mark.timeout(7_200)
def test_trainer_killed_at_random_many_times_on_kafka(make_service: MakeService, kafka: Broker, figure: Figure) -> None:
    """The long form on 4 partitions."""
    service, producer = on_kafka(make_service, kafka, PARTITIONS)
    figure(kill_at_random(service, producer, kills=LONG_KILLS - LONG_KILLS * 3 // 4, longest_seconds=6.0))
