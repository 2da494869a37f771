"""DESIGN's row "poisoned or mislabelled burst": learning turns speculative, the champion stays, nothing is learnt."""

import json
import random
from contextlib import suppress
from pathlib import Path

from service.errors import FreshetError
from service.ingest.embedded import EmbeddedSink
from tests.acceptance.conftest import MakeService, Service, eventually
from tests.acceptance.faults import assert_adds_up, embedded, newest_state, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import EmbeddedProducer

GATE = {
    "source": {"poll_events": 50},
    "trigger": {"every_events": 90, "every_seconds": 3_600.0},  # a slow machine gets no more rounds than another
    "train": {"steps": 20, "first_steps": 200, "portfolio": [], "model": {"hidden": [8]}},
    "gate": {"enabled": True, "suspicion_events": 60, "speculation_max_events": 100_000},
}


class Poisoner(EmbeddedProducer):
    """A producer that can send events whose labels are drawn by lot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sink = EmbeddedSink(path)
        self._lot = random.Random(5)  # noqa: S311 - a poison, no secret

    def poison(self, count: int) -> range:
        """Append such events and return their offsets."""
        begin = len(self.produced[0])
        offsets = range(begin, begin + count)
        for offset in offsets:
            features = {"a": self._lot.gauss(0, 1), "b": self._lot.gauss(0, 1)}
            event = {"id": f"poison-{offset}", "features": features, "label": self._lot.choice(("yes", "no"))}
            self.sink.send("events", json.dumps(event).encode())
        self.sink.flush()
        self.produced[0] += offsets
        return offsets

    def close(self) -> None:
        """Close both files."""
        self.sink.close()
        super().close()


def rounds(service: Service) -> dict[str, int]:
    """Return how many rounds there were, by their end."""
    return dict(service.status().get("rounds", {}))


def suspicion(service: Service) -> str | None:
    """Return where a suspicion stands."""
    return service.status().get("suspicion")


def good(service: Service, producer: Poisoner) -> None:
    """Send good events, and wait until what came of them is published or rejected; the first one counts as neither."""
    started = rounds(service).get("started", 0)
    producer.send(100)

    def ended() -> bool:
        told = rounds(service)
        now = told.pop("started", 0)
        return now > started and sum(told.values()) == now - 1 and suspicion(service) == "clear"

    eventually(ended, "a round on good events")


def test_a_poisoned_burst_with_a_kill_in_it_leaves_no_trace(make_service: MakeService, nursery: Nursery) -> None:
    """No checkpoint comes of it, its events are rolled back in the ledger, every offset has one fate, learning goes on.

    The trainer is killed while it is suspicious, and its successor is so too.
    """
    service, plain = embedded(make_service, nursery, **GATE)
    plain.close()
    producer = Poisoner(service.folder / "log.sqlite")
    trainer = service.start("train")
    for _ in range(5):
        good(service, producer)
    latest = service.folder / "store" / "latest"
    serving = json.loads(latest.read_bytes())
    poisoned = [*producer.poison(150)]
    eventually(lambda: suspicion(service) == "suspected", "the poison to be suspected")
    eventually(lambda: service.accepted() == _good(producer), "the poison to be taken in")
    started = rounds(service)["started"]
    poisoned += producer.poison(150)
    eventually(lambda: rounds(service)["started"] > started, "rounds to go on")
    _await_saved(service)
    trainer.kill()
    trainer.wait(60)
    service.forget_status()
    trainer = service.start("train")
    eventually(lambda: suspicion(service) == "suspected", "its successor to be suspicious")
    assert service.metric("freshet_learning_speculative") == 1
    poisoned += producer.poison(100)
    eventually(lambda: service.accepted() == _good(producer), "the poison to be taken in")
    assert json.loads(latest.read_bytes()) == serving
    for _ in range(20):
        producer.send(25)
        eventually(lambda: service.accepted() == _good(producer), "good events to be taken in")
        if suspicion(service) == "clear":
            break
    assert suspicion(service) == "clear"
    told = rounds(service)
    assert told["rolled_back"] >= 1
    producer.send(200)
    eventually(lambda: rounds(service)["promoted"] > told["promoted"], "learning to go on")
    stop(trainer)
    assert_adds_up(service, producer)
    ledger = service.run("ledger")
    undone = {
        offset
        for run in ledger["runs"]
        if run["fate"] == "rolled_back"
        for offset in range(run["first"], run["last"] + 1)
    }
    assert set(poisoned) <= undone
    assert min(undone) >= poisoned[0] - 200
    journal = [json.loads(line) for line in (service.folder / "store" / "decisions.jsonl").read_text().splitlines()]
    assert [one["what"] for one in journal if one["event"] == "suspicion"] == ["entered", "noise"]


def _good(producer: Poisoner) -> int:
    return len(producer.produced[0]) - len(producer.bad[0])


def _await_saved(service: Service) -> None:
    """Wait until the newest snapshot is one in which something is suspected."""

    def saved() -> bool:
        with suppress(FreshetError, OSError):  # it may just make room for others
            return bool(newest_state(service)["speculation"]["suspicion"]["phase"] != "clear")
        return False

    eventually(saved, "a snapshot")
