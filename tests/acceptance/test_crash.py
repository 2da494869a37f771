"""A trainer killed at any time goes on where its snapshot stood: nothing is lost, nothing is learnt twice."""

import random
import time
from itertools import pairwise
from typing import Any

import pytest

from service.store.checkpoints import CheckpointStore
from tests.acceptance.conftest import MakeService, Service, eventually, free_port
from tests.acceptance.streams import events
from tests.broker import Broker


def ancestry(service: Service) -> list[dict[str, Any]]:
    """Return the data spans on the ancestry of what serves, oldest first."""
    store = CheckpointStore(service.folder / "store", 10_000)
    pointer = store.latest()
    spans: list[dict[str, Any]] = []
    current = pointer.id if pointer else None
    while current is not None:
        manifest = store.manifest(current)
        spans = [span.model_dump() for span in manifest.data] + spans
        current = manifest.parent
    return spans


def crash_and_go_on(service: Service, kills: int) -> None:
    """Send 6,000 events while the trainer is killed again and again."""
    moments = random.Random(kills)  # noqa: S311 - when to kill is no secret
    rows = events(6_000) + events(6_000, seed=1, flipped=True)
    trainer = service.start("train")
    service.await_ready(trainer=True)
    for part in range(kills):
        each = len(rows) // kills
        service.send(f"part-{part}", rows[part * each : (part + 1) * each], "--rate", "4000")
        time.sleep(moments.uniform(0.0, 0.6))
        trainer.kill()
        trainer.wait()
        # What the killed one last said about itself must not be taken for its successor's word.
        (service.folder / "store" / "status.json").unlink(missing_ok=True)
        trainer = service.start("train")
    eventually(lambda: service.accepted() == len(rows), "every event to be accepted, once")
    assert service.accepted() + service.status()["events"]["refused"] == len(rows)
    assert sum(service.status()["positions"].values()) == len(rows)
    trainer.terminate()
    assert trainer.wait(60) == 0
    assert service.accepted() == len(rows)


def test_killed_trainers_lose_and_repeat_nothing_on_the_embedded_log(make_service: MakeService) -> None:
    """Three SIGKILLs under load: every offset is accepted once, and the served ancestry's spans join."""
    service = make_service(store={"keep": 1_000})
    crash_and_go_on(service, kills=3)
    spans = ancestry(service)
    assert spans[0]["first"] == 0
    for before, after in pairwise(spans):
        assert after["first"] == before["last"] + 1


@pytest.mark.kafka
def test_killed_trainers_lose_and_repeat_nothing_on_kafka(make_service: MakeService, kafka: Broker) -> None:
    """The same with a real broker and two partitions: the snapshot's positions decide, not the committed offsets."""
    topic = kafka.create_topic(partitions=2)
    source = {"kind": "kafka", "topic": topic, "kafka": {"bootstrap_servers": kafka.bootstrap, "group_id": topic}}
    service = make_service(source=source, store={"keep": 1_000})
    crash_and_go_on(service, kills=2)
    for partition in (0, 1):
        spans = [span for span in ancestry(service) if span["partition"] == partition]
        assert spans[0]["first"] == 0
        for before, after in pairwise(spans):
            assert after["first"] == before["last"] + 1


def test_a_second_trainer_stands_by_and_takes_over(make_service: MakeService) -> None:
    """It says who holds the lease, polls nothing, and goes on from the snapshot once the first is gone."""
    service = make_service()
    first = service.start("train")
    service.await_ready(trainer=True)
    service.send("before", events(600))
    eventually(lambda: service.accepted() == 600, "the first trainer to take the events in")
    other = f"trainer.port={free_port()}"
    assert service.run("train", "--no-standby", "--set", other, exit_code=1) is None
    second = service.start("train", "--set", other)
    service.trainer_port = int(other.partition("=")[2])
    standing_by = eventually(
        lambda: (
            (answer := service.get("/readyz", trainer=True)) is not None and "standing by" in answer.text and answer
        ),
        "the second trainer to stand by",
    )
    assert standing_by.status_code == 503
    first.kill()
    first.wait()
    service.send("after", events(600, seed=1))
    eventually(lambda: service.accepted() == 1_200, "the standby to go on from the snapshot")
    second.terminate()
    assert second.wait(60) == 0


def test_a_trainer_that_finds_another_schema_refuses_in_one_line(make_service: MakeService) -> None:
    """State of other features is not mixed in: exit 1, naming what differs and what to do."""
    service = make_service()
    trainer = service.start("train")
    service.await_ready(trainer=True)
    service.send("some", events(400))
    eventually(lambda: service.accepted() == 400, "the events to be taken in")
    trainer.terminate()
    assert trainer.wait(60) == 0
    other = service.start("train", "--set", "schema.numeric=[a, c]")
    assert other.wait(60) == 1
    said = (service.folder / "train-1.log").read_text()
    last = [line for line in said.splitlines() if line.startswith("freshet: ")]
    assert len(last) == 1
    assert "numeric" in last[0]
    assert "Traceback" not in said
