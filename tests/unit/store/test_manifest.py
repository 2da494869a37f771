"""What a checkpoint says about itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from service.errors import CheckpointDamagedError, StoreError
from service.store.checkpoints import Checkpoint
from service.store.event_times import EventTimes
from service.store.manifest import FORMAT_VERSION, Learnt, Manifest, age, is_id

MakeCheckpoint = Callable[..., Checkpoint]
ID = "000042-3f9a1c2b"


def values(make_checkpoint: MakeCheckpoint, **changes: Any) -> dict[str, Any]:
    """Return a fitting manifest's plain values with some changed."""
    return {**make_checkpoint(ID).manifest.model_dump(mode="json"), **changes}


def test_a_manifest_survives_plain_json(make_checkpoint: MakeCheckpoint) -> None:
    """What is read is equal to what was written, although it was made from tuples, numpy and NaN."""
    made = make_checkpoint(ID, gate={"recent": (np.float64(0.5), np.int64(3)), "forward": float("nan")}).manifest

    assert Manifest.parse(made.model_dump(mode="json"), "m") == made
    assert made.gate == {"recent": [0.5, 3], "forward": None}


def test_a_newer_format_is_refused_with_what_to_do(make_checkpoint: MakeCheckpoint) -> None:
    """Even if it has keys that this version does not know."""
    told = f"^m: has format {FORMAT_VERSION + 1}, this Freshet reads up to {FORMAT_VERSION}; upgrade Freshet$"
    with pytest.raises(StoreError, match=told):
        Manifest.parse(values(make_checkpoint, format_version=FORMAT_VERSION + 1, novelty=1), "m")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"id": "000042-3f9a1c2b\n"},
        {"round": -1},
        {"created_at": "2026-01-31T09:30:00"},
        {"trained_until": "soon"},
        {"parent": None, "lineage": "000001-00000000"},
        {"novelty": 1},
        {"data": [{"topic": "events"}]},
        {"gate": 5},
        {"fence": None},
    ],
)
def test_what_makes_no_sense_is_damaged_and_its_key_named(
    make_checkpoint: MakeCheckpoint, change: dict[str, Any]
) -> None:
    """An unknown key, too: a version that writes others has another format number."""
    with pytest.raises(CheckpointDamagedError, match=rf"^m: damaged, ({'|'.join(change)}|manifest)"):
        Manifest.parse(values(make_checkpoint, **change), "m")


def test_a_manifest_is_frozen(make_checkpoint: MakeCheckpoint) -> None:
    """Nobody changes history by accident."""
    with pytest.raises(ValidationError, match="frozen"):
        make_checkpoint(ID).manifest.round = 7


@pytest.mark.parametrize(
    "text", ["", ".", "..", "latest", "000042", "42-3f9a1c2b", "000042-3F9A1C2B", "٠٠٠٠٤٢-3f9a1c2b", 7]
)
def test_only_an_id_is_an_id(text: object) -> None:
    """What is accepted is safe as a file name."""
    assert is_id(ID)
    assert not is_id(text)


def test_age_goes_by_number() -> None:
    """Also where the number has outgrown its six digits."""
    assert age("999999-ffffffff") < age("1000000-00000000") < age("1000000-00000001")


def test_values_nested_without_end_are_damaged(make_checkpoint: MakeCheckpoint) -> None:
    """Somebody's joke must not end the listing of a store."""
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(CheckpointDamagedError, match="nested too deep"):
        Manifest.parse(values(make_checkpoint, gate={"deep": deep}), "m")


def test_what_was_learnt_first_is_kept_with_the_time_of_each_event(make_checkpoint: MakeCheckpoint) -> None:
    """For those that measure; what people read is the number and the span alone."""
    times = EventTimes.of(np.array([1_790_000_000_000, 1_790_000_000_250, 1_790_000_000_250]))
    manifest = make_checkpoint(ID).manifest.model_copy(update={"learnt": Learnt.of(times, None)})
    read = Manifest.parse(manifest.model_dump(mode="json"), "m")
    assert read.learnt is not None
    assert read.learnt.event_times.counts.tolist() == [1, 2]
    shown = read.readable()["learnt"]
    assert shown == {
        "events": 3,
        "first": "2026-09-21T14:13:20.000Z",
        "last": "2026-09-21T14:13:20.250Z",
        "after": None,
    }


def test_times_of_another_number_of_events_are_damage(make_checkpoint: MakeCheckpoint) -> None:
    """Else a server would count what never was."""
    learnt = Learnt.of(EventTimes.of(np.array([5, 6])), None).model_dump(mode="json")
    with pytest.raises(CheckpointDamagedError, match="its times are not those of so many events"):
        Manifest.parse(values(make_checkpoint, learnt=learnt | {"events": 3}), "m")


def test_a_manifest_of_before_tells_nothing_of_events(make_checkpoint: MakeCheckpoint) -> None:
    """It is read as any other."""
    older = values(make_checkpoint, format_version=2)
    del older["learnt"]
    assert Manifest.parse(older, "m").learnt is None
