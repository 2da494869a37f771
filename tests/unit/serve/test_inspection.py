"""GET /v1/status and /v1/checkpoints over real HTTP."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.store.event_times import EventTimes
from service.store.manifest import Learnt
from service.store.status import STATUS, write_status
from tests.unit.serve.builders import checkpoint_of, damage, problem_of, publish, settings_in, store_of
from tests.unit.serve.running import Service


def test_status_before_anything_exists(serving: Callable[..., Service]) -> None:
    """Nulls, and the reason; no store is needed for an answer."""
    status = serving().client.get("/v1/status").json()
    assert status["serving"] is None
    assert status["latest"] is None
    assert status["trainer"] is None
    assert "no checkpoint has been published yet" in status["trouble"]


def test_status_tells_what_serves_and_what_should(serving: Callable[..., Service], tmp_path: Path) -> None:
    """While the latest checkpoint is damaged the two differ, and the trouble says why."""
    settings = settings_in(tmp_path)
    sound = publish(settings)
    service = serving(settings)
    status = service.client.get("/v1/status").json()
    assert status["serving"]["id"] == status["latest"]["id"] == sound
    assert status["trouble"] is None
    broken = publish(settings, seed=1)
    damage(settings, broken)
    service.watcher.look()
    status = service.client.get("/v1/status").json()
    assert (status["serving"]["id"], status["latest"]["id"]) == (sound, broken)
    assert status["latest"]["previous"] == sound
    assert broken in status["trouble"]


@pytest.mark.parametrize(("age_seconds", "stale"), [(0, False), (3, False), (60, True)])
def test_the_trainers_status_is_shown_with_its_age(
    serving: Callable[..., Service], tmp_path: Path, age_seconds: float, *, stale: bool
) -> None:
    """Whatever the trainer wrote, how old it is, and whether it should have written again by now."""
    settings = settings_in(tmp_path)
    write_status(settings.store.path, {"state": "learning", "events": 5})
    path, written = settings.store.path / STATUS, time.time() - age_seconds
    os.utime(path, (written, written))
    trainer = serving(settings).client.get("/v1/status").json()["trainer"]
    assert (trainer["state"], trainer["events"]) == ("learning", 5)
    assert age_seconds <= trainer["age_seconds"] < age_seconds + 30
    assert trainer["stale"] is stale


def test_a_status_that_is_no_json_is_as_good_as_none(serving: Callable[..., Service], tmp_path: Path) -> None:
    """A trainer's broken file does not break the server's answer."""
    settings = settings_in(tmp_path)
    settings.store.path.mkdir()
    (settings.store.path / STATUS).write_bytes(b"{")
    assert serving(settings).client.get("/v1/status").json()["trainer"] is None


def test_checkpoints_are_listed_newest_first(serving: Callable[..., Service], tmp_path: Path) -> None:
    """With which one serves, which one is pointed to, and what is wrong with the others."""
    settings = settings_in(tmp_path)
    assert serving(settings).client.get("/v1/checkpoints").json() == {"checkpoints": []}
    first, second = publish(settings), publish(settings, seed=1)
    service = serving(settings)
    third = publish(settings, seed=2)
    (settings.store.path / "checkpoints" / first / "manifest.json").write_bytes(b"{}")
    listed = service.client.get("/v1/checkpoints").json()["checkpoints"]
    assert [entry["id"] for entry in listed] == [third, second, first]
    assert [entry["serving"] for entry in listed] == [False, True, False]
    assert [entry["latest"] for entry in listed] == [True, False, False]
    assert listed[0]["trigger"] == "new_events"
    assert listed[0]["problem"] is None
    assert "damaged" in listed[2]["problem"]
    assert listed[2]["round"] is None


def test_a_checkpoint_shows_its_manifest(serving: Callable[..., Service], tmp_path: Path) -> None:
    """All of it, as it was written."""
    settings = settings_in(tmp_path)
    checkpoint_id = publish(settings)
    manifest = serving(settings).client.get(f"/v1/checkpoints/{checkpoint_id}").json()
    assert manifest["id"] == manifest["lineage"] == checkpoint_id
    assert manifest["trained_until"] == "2026-01-31T09:30:00.250Z"
    assert manifest["schema_fingerprint"]


def test_a_manifest_is_shown_without_the_time_of_each_event(serving: Callable[..., Service], tmp_path: Path) -> None:
    """How many events were learnt first here, and from when to when: that is what a person wants."""
    settings = settings_in(tmp_path)
    checkpoint_id = publish(settings)
    made = checkpoint_of(settings, "000009-0000000a")
    learnt = Learnt.of(EventTimes.of(1_790_000_000_000 + np.arange(5) * 250), checkpoint_id)
    store_of(settings).write(replace(made, manifest=made.manifest.model_copy(update={"learnt": learnt})))
    assert serving(settings).client.get("/v1/checkpoints/000009-0000000a").json()["learnt"] == {
        "events": 5,
        "first": "2026-09-21T14:13:20.000Z",
        "last": "2026-09-21T14:13:21.000Z",
        "after": checkpoint_id,
    }
    assert store_of(settings).manifest("000009-0000000a").learnt == learnt


@pytest.mark.parametrize("name", ["000009-00000000", "nope", "..", "%2e%2e", "..%2flatest", "%00", "%ff", "a" * 5_000])
def test_a_checkpoint_that_is_not_there_is_a_404(serving: Callable[..., Service], name: str) -> None:
    """Whatever is asked for, no path leads out of the store, and none of it is shown."""
    response = serving().client.get(f"/v1/checkpoints/{name}")
    problem_of(response, 404)


def test_a_damaged_checkpoint_is_no_500(serving: Callable[..., Service], tmp_path: Path) -> None:
    """Its manifest cannot be shown: a 503 that says so."""
    settings = settings_in(tmp_path)
    checkpoint_id = publish(settings)
    service = serving(settings)
    (settings.store.path / "checkpoints" / checkpoint_id / "manifest.json").write_bytes(b"{}")
    assert "damaged" in problem_of(service.client.get(f"/v1/checkpoints/{checkpoint_id}"), 503)["detail"]


def test_a_store_that_is_away_is_a_503_and_serving_goes_on(serving: Callable[..., Service], tmp_path: Path) -> None:
    """Lists need the store, predictions and status do not."""
    settings = settings_in(tmp_path)
    publish(settings)
    service = serving(settings)
    settings.store.path.rename(tmp_path / "elsewhere")
    settings.store.path.write_text("no folder")
    service.watcher.look()
    response = service.client.get("/v1/checkpoints")
    problem_of(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert service.client.get("/v1/status").json()["latest"] is None
    assert service.predict({"age": 1, "owner": True}).status_code == 200
    assert service.client.get("/readyz").status_code == 200
