"""State that is not this trainer's own is refused in one line that says what differs and what to do."""

import json

import pytest

from service.store.sealed import read_sealed, write_sealed
from tests.acceptance.conftest import MakeService, Service, eventually
from tests.acceptance.faults import stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import EmbeddedProducer


@pytest.fixture
def stopped(make_service: MakeService, nursery: Nursery) -> Service:
    """Return a service that has learnt and stopped."""
    service = make_service(nursery=nursery)
    trainer = service.start("train")
    producer = EmbeddedProducer(service.folder / "log.sqlite")
    producer.send(400)
    eventually((service.folder / "store" / "latest").exists, "a first checkpoint")
    stop(trainer)
    producer.close()
    return service


def refused(service: Service, *options: str) -> str:
    """Start a trainer that must refuse, and return the one line that it says about it."""
    assert service.start("train", *options).wait(60) == 1
    assert "Traceback" not in service.said()
    last = [line for line in service.said().splitlines() if line.startswith("freshet: ")]
    assert len(last) == 1
    return last[0]


@pytest.mark.parametrize(
    ("option", "named"),
    [("schema.numeric=[a, c]", "numeric"), ("train.model.hidden=[17]", "hidden"), ("task=multiclass", "task")],
)
def test_state_of_another_schema_or_model(option: str, named: str, stopped: Service) -> None:
    """It names what differs, and what to do."""
    said = refused(stopped, "--set", option)
    assert named in said
    assert "put the configuration back" in said


def test_state_of_a_newer_version(stopped: Service) -> None:
    """Nothing is read in a format that this program does not know."""
    snapshots = stopped.folder / "state" / "snapshots"
    newest = max(snapshots.iterdir())
    about, files = read_sealed(newest)
    number = int(newest.name) + 1
    newer = about | {"format_version": about["format_version"] + 1, "number": number}
    newer.pop("digest", None)
    write_sealed(snapshots / f"{number:010d}", files, newer)
    assert "a newer Freshet wrote it" in refused(stopped)


def test_checkpoints_of_a_newer_version(stopped: Service) -> None:
    """The champion of a newer program is not learnt on."""
    champion = json.loads((stopped.folder / "store" / "latest").read_bytes())["id"]
    folder = stopped.folder / "store" / "checkpoints" / champion
    about, files = read_sealed(folder)
    about.pop("digest", None)
    moved = folder.rename(folder.with_name("away"))
    write_sealed(folder, files, about | {"format_version": about["format_version"] + 1})
    assert moved.exists()
    assert json.loads((folder / "manifest.json").read_bytes())["format_version"] > about["format_version"]
    assert "upgrade Freshet" in refused(stopped)
