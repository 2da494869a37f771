"""What the fault tests share: a small service under load, and the account that must add up at the end."""

import json
from contextlib import suppress
from typing import Any

import psutil
import yaml

from service.ingest.connect import open_source
from service.ingest.dead_letters import DeadLetter
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.store.sealed import read_sealed
from tests.acceptance.conftest import MakeService, Process, Service, eventually
from tests.acceptance.ledger_check import ancestry, broken_joints, judge
from tests.acceptance.nursery import WORKERS, Nursery
from tests.acceptance.producers import EmbeddedProducer, KafkaTopicProducer, Producer
from tests.broker import Broker

BUSY: dict[str, Any] = {
    "source": {"poll_events": 100},
    "trigger": {"every_events": 150},
    "train": {"steps": 5, "first_steps": 20, "model": {"hidden": [8]}, "worker": {"backoff_seconds": 0.1}},
    "gate": {"enabled": False},
    "store": {"keep": 10_000},
    "trainer": {"snapshot_seconds": 0.2, "status_seconds": 0.1, "lease_seconds": 3.0},
}
"""Many rounds, promotions and snapshots a second, so that a kill at random hits one of them; no manifest is pruned."""


def busy_service(make: MakeService, nursery: Nursery | None = None, **sections: Any) -> Service:
    """Return a service that does everything often, with more ``sections``."""
    tree = {name: {**values} for name, values in BUSY.items()}
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values} if isinstance(values, dict) else values
    return make(nursery=nursery, **tree)


def embedded(make: MakeService, nursery: Nursery | None = None, **sections: Any) -> tuple[Service, Producer]:
    """Return a busy service on the embedded log, and its producer."""
    service = busy_service(make, nursery, **sections)
    return service, EmbeddedProducer(service.folder / "log.sqlite")


def on_kafka(
    make: MakeService, broker: Broker, partitions: int, nursery: Nursery | None = None, **sections: Any
) -> tuple[Service, KafkaTopicProducer]:
    """Return a busy service on a topic of its own, and its producer."""
    topic = broker.create_topic(partitions=partitions)
    kafka = {"bootstrap_servers": broker.bootstrap, "group_id": topic}
    source = {"kind": "kafka", "topic": topic, "kafka": kafka, **sections.pop("source", {})}
    service = busy_service(make, nursery, source={**BUSY["source"], **source}, **sections)
    return service, KafkaTopicProducer(broker.bootstrap, topic, partitions)


def settings_of(service: Service) -> Settings:
    """Return a service's settings as the program reads them."""
    return Settings.model_validate(yaml.safe_load(service.config.read_text()))


def count(offsets: dict[int, list[int]]) -> int:
    """Return how many offsets there are over all partitions."""
    return sum(map(len, offsets.values()))


def await_all_taken_in(service: Service, producer: Producer) -> None:
    """Wait until the trainer tells of every record that was produced, and of no more, and something serves."""

    def taken() -> bool:
        told = service.status().get("events", {})
        return int(told.get("accepted", 0)) + int(told.get("refused", 0)) == count(producer.produced)

    eventually(taken, f"all {count(producer.produced)} records to be taken in; the logs are in {service.folder}")
    eventually((service.folder / "store" / "latest").exists, "a first checkpoint")


def dead_letters(service: Service) -> list[DeadLetter]:
    """Return all that the dead-letter topic holds."""
    settings = settings_of(service)
    source = open_source(settings, [f"{service.topic}.dlq"], f"{service.topic}-letters")
    letters: list[DeadLetter] = []
    try:
        end = sum(source.ends().values())
        source.seek(dict.fromkeys(source.ends(), 0))
        eventually(lambda: letters.extend(_letters(source)) or len(letters) >= end, f"{end} dead letters")
    finally:
        source.close()
    return letters


def _letters(source: Any) -> list[DeadLetter]:
    batches = source.poll(1_000, 0.1)
    return [DeadLetter.from_record(batch, index) for batch in batches for index in range(len(batch))]


def newest_state(service: Service) -> dict[str, Any]:
    """Return what the newest snapshot holds beside arrays."""
    newest = max((service.folder / "state" / "snapshots").glob("[0-9]*"))
    meta: dict[str, Any] = json.loads(read_sealed(newest)[1]["meta.json"])
    return meta


def assert_adds_up(service: Service, producer: Producer) -> None:
    """Check a stopped trainer's account of everything that was produced.

    1. Every record is accepted once or refused once.
    2. On the ancestry of what serves the spans of data join.
    3. What serves is whole, and is what the newest snapshot calls the champion.
    4. Every bad record is among the dead letters, and no good one.
    5. The ledger knows one fate of every offset.
    """
    state = newest_state(service)
    told = state["counts"]
    assert (told["accepted"], told["refused"]) == (  # 1
        count(producer.produced) - count(producer.bad),
        count(producer.bad),
    )
    spans = ancestry(service.folder / "store")
    assert spans
    assert broken_joints(spans) == []  # 2
    store = CheckpointStore(service.folder / "store", 10_000)
    pointer, problems = store.latest(), list[Any]()
    sound = store.newest_sound(lambda *problem: problems.append(problem))
    assert pointer is not None
    assert sound is not None
    assert (sound.manifest.id, problems) == (pointer.id, [])  # 3
    assert state["roles"]["champion"] == pointer.id
    letters = {(letter.source.partition, letter.offset) for letter in dead_letters(service)}
    bad = {(partition, offset) for partition, offsets in producer.bad.items() for offset in offsets}
    assert (sorted(bad - letters), sorted(letters - bad)) == ([], [])  # 4
    verdict = judge(producer.produced, producer.bad, service.run("ledger")["runs"])  # 5
    assert verdict, verdict


def stop(process: Process) -> None:
    """Stop a role as an orchestrator would; it exits with 0."""
    process.terminate()
    assert process.wait(60) == 0


def worker_of(trainer: Process) -> psutil.Process | None:
    """Return the training worker of a trainer, or the process that stands for it; None while there is none."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(trainer.pid).children():
            if not set(WORKERS).isdisjoint(child.cmdline()):
                return child
    return None


def kill_worker(trainer: Process) -> None:
    """End the worker as the system does when memory is short; nothing if it is just away."""
    worker = worker_of(trainer)
    if worker is not None:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
