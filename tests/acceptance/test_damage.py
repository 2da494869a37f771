"""DESIGN's row "checkpoint damaged on disk": detected, skipped, the previous one serves. And damaged snapshots."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.store.checkpoints import CheckpointStore
from tests.acceptance.conftest import MakeService, Service, eventually
from tests.acceptance.faults import (
    assert_adds_up,
    await_all_taken_in,
    busy_service,
    embedded,
    newest_state,
    stop,
)
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import EmbeddedProducer, Pump


def flip(file: Path, place: int) -> None:
    """Turn all bits of one byte."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(bytes(content))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "header flipped": lambda file: flip(file, 0),
    "body flipped": lambda file: flip(file, -2),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]) and None,
    "emptied": lambda file: file.write_bytes(b"") and None,
    "deleted": Path.unlink,
}


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> tuple[Path, EmbeddedProducer]:
    """Return the folder of a service that has published and stopped, and its producer; copy, never change it."""
    folder = tmp_path_factory.mktemp("learnt")
    service, producer = embedded(lambda **sections: Service(folder, **sections), nursery)
    trainer = service.start("train")
    with Pump(producer, batch=25):
        eventually(lambda: len(checkpoints(service)) >= 3, "three checkpoints")
    await_all_taken_in(service, producer)
    stop(trainer)
    producer.close()
    return folder, producer


@pytest.fixture
def copied(learnt: tuple[Path, EmbeddedProducer], make_service: MakeService, nursery: Nursery) -> Service:
    """Return a service of one's own in the state of the one that has learnt."""
    service = busy_service(make_service, nursery)
    for name in ("store", "state"):
        shutil.copytree(learnt[0] / name, service.folder / name)
    for log in learnt[0].glob("log.sqlite*"):
        shutil.copy(log, service.folder)
    service.forget_status()
    return service


def checkpoints(service: Service) -> list[str]:
    """Return the ids of all checkpoints, newest first."""
    return [entry.id for entry in CheckpointStore(service.folder / "store", 10_000).entries()]


def answering(service: Service) -> str:
    """Return the checkpoint that answers, which needs a server that is ready."""
    answer = service.predict(a=1.0, b=1.0)
    assert answer.status_code == 200
    ready = service.get("/readyz")
    assert ready is not None
    assert ready.status_code == 200
    found: str = answer.json()["checkpoint"]["id"]
    return found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["manifest.json", "model.safetensors", "encoder.json"])
def test_checkpoint_damaged_on_disk(file: str, damage: str, copied: Service) -> None:
    """Whatever is wrong with it: a running server keeps the one before, and a new one takes the one before."""
    store = CheckpointStore(copied.folder / "store", 10_000)
    newest, before = checkpoints(copied)[:2]
    pointer = copied.folder / "store" / "latest"
    to_newest = pointer.read_bytes()
    store.point(before, reason="step back", by="test")
    running = copied.start("serve")
    copied.await_ready()
    assert answering(copied) == before
    DAMAGES[damage](copied.folder / "store" / "checkpoints" / newest / file)
    (copied.folder / "to_newest").write_bytes(to_newest)
    (copied.folder / "to_newest").replace(pointer)  # as a trainer does: a server looks all the time
    damaged = 'freshet_swaps_total{outcome="damaged"}'
    eventually(lambda: copied.metric(damaged, trainer=False) == 1, "the damage to be counted")
    assert answering(copied) == before
    stop(running)
    copied.start("serve")
    copied.await_ready()
    assert answering(copied) == before
    assert newest in copied.said(role="serve")


@pytest.mark.parametrize("damage", ["body flipped", "truncated", "deleted"])
@pytest.mark.parametrize("file", ["manifest.json", "meta.json", "arrays.safetensors"])
def test_snapshot_damaged_on_disk(
    file: str, damage: str, copied: Service, learnt: tuple[Path, EmbeddedProducer]
) -> None:
    """The one before is used: its positions are older, so events are read again, and the account adds up."""
    newest = max((copied.folder / "state" / "snapshots").iterdir())
    DAMAGES[damage](newest / file)
    producer = EmbeddedProducer(copied.folder / "log.sqlite")
    producer.go_on_from(learnt[1])
    producer.send(200)
    trainer = copied.start("train")
    await_all_taken_in(copied, producer)
    eventually(lambda: copied.status()["new_events"] < 150, "the last round to begin")
    stop(trainer)
    assert f'"snapshot": "{newest.name}"' in copied.said()
    assert newest_state(copied)["counts"]["rounds"] > 1
    assert_adds_up(copied, producer)
    producer.close()


def test_no_snapshot_whole(copied: Service) -> None:
    """Nothing is begun anew behind the user's back: one line that says what to do, and exit code 1."""
    for snapshot in (copied.folder / "state" / "snapshots").iterdir():
        (snapshot / "meta.json").write_bytes(b"{}")
    assert copied.start("train").wait(60) == 1
    last = [line for line in copied.said().splitlines() if line.startswith("freshet: ")]
    assert len(last) == 1
    assert "no snapshot is whole" in last[0]
    assert "Traceback" not in copied.said()


def test_ledger_damaged_on_disk(copied: Service, learnt: tuple[Path, EmbeddedProducer]) -> None:
    """It is an account, not the state: the trainer learns on, and the command says in one line what is damaged."""
    for segment in (copied.folder / "state" / "ledger").iterdir():
        flip(segment, 20)
    producer = EmbeddedProducer(copied.folder / "log.sqlite")
    producer.go_on_from(learnt[1])
    producer.send(100)
    trainer = copied.start("train")
    await_all_taken_in(copied, producer)
    stop(trainer)
    copied.run("ledger", exit_code=1)
    producer.close()
