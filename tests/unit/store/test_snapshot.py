"""The trainer's snapshots."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.errors import CheckpointDamagedError, SnapshotMismatchError
from service.store import snapshot
from service.store.arrays import pack
from service.store.canonical import seal
from service.store.sealed import read_manifest, write_sealed
from service.store.snapshot import SnapshotStore

IDENTITY: dict[str, Any] = {"task": "binary", "numeric": ["a", "b"]}


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    """Return an empty store of snapshots."""
    return SnapshotStore(tmp_path / "state" / "snapshots", IDENTITY)


def save(store: SnapshotStore, number: int) -> None:
    """Save a state that tells its number."""
    store.save({"window": np.full((4, 2), float(number))}, {"number": number})


def damage(store: SnapshotStore, name: str) -> None:
    """Flip a bit in a file."""
    path = store.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def test_a_state_comes_back_as_it_was_saved(store: SnapshotStore) -> None:
    """Arrays of all kinds, writable; meta with NaN, numpy and text."""
    arrays = {
        "numbers": np.random.default_rng(0).normal(size=(1_000, 20)),
        "keys": np.array([2**64 - 1, 0], dtype=np.uint64),
        "codes": np.zeros((0, 3), dtype=np.int64),
    }
    store.save(arrays, {"positions": [["events", 0, np.int64(7)]], "loss": float("nan"), "name": "ö"})

    loaded = store.load()

    assert loaded is not None
    back, meta = loaded
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
        assert back[name].flags.writeable
    assert meta["positions"] == [["events", 0, 7]]
    assert meta["name"] == "ö"
    assert np.isnan(meta["loss"])


def test_nothing_was_ever_saved(store: SnapshotStore) -> None:
    """A first start; looking makes no folder."""
    assert store.load() is None
    assert store.sweep() == []
    assert not store.path.exists()


def test_the_newest_is_loaded_and_old_ones_go(store: SnapshotStore) -> None:
    """Two are kept."""
    for number in range(1, 5):
        save(store, number)
    loaded = store.load()
    assert loaded is not None
    assert loaded[1] == {"number": 4}
    assert sorted(entry.name for entry in store.path.iterdir()) == ["0000000003", "0000000004"]


@pytest.mark.parametrize("name", ["arrays.safetensors", "meta.json", "manifest.json"])
def test_a_damaged_snapshot_is_passed_over_for_the_one_before(store: SnapshotStore, name: str) -> None:
    """With a line in the log that names the file; the next save goes on counting."""
    save(store, 1)
    save(store, 2)
    damage(store, f"0000000002/{name}")

    with capture_logs() as logs:
        loaded = store.load()

    assert loaded is not None
    assert loaded[1] == {"number": 1}
    assert [(line["event"], line["snapshot"]) for line in logs] == [("snapshot passed over", "0000000002")]
    assert name in logs[0]["problem"]
    save(store, 3)
    assert (store.path / "0000000003").is_dir()


def test_without_a_whole_snapshot_it_stops_with_what_to_do(store: SnapshotStore) -> None:
    """To begin anew in silence would learn events twice."""
    save(store, 1)
    save(store, 2)
    shutil.rmtree(store.path / "0000000001")
    damage(store, "0000000002/meta.json")
    with pytest.raises(CheckpointDamagedError, match=r"snapshots: no snapshot is whole; restore .* or move it away"):
        store.load()


def test_another_identity_is_refused_with_the_difference(store: SnapshotStore) -> None:
    """It is not passed over for an older one, since the data are sound."""
    save(store, 1)
    other = SnapshotStore(store.path, {"task": "binary", "numeric": ["a", "c"]})
    with pytest.raises(SnapshotMismatchError, match=r"numeric without b and now with c\); put the configuration back"):
        other.load()
    with pytest.raises(SnapshotMismatchError, match="numeric without b and now with c"):
        save(other, 2)
    assert store.load() is not None


def test_a_newer_format_is_refused_with_what_to_do(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step back to an older version."""
    with monkeypatch.context() as newer:
        newer.setattr(snapshot, "FORMAT_VERSION", 3)
        save(store, 1)
    with pytest.raises(SnapshotMismatchError, match=r"a newer Freshet wrote it \(format 3, this one reads 2\)"):
        store.load()


def test_two_owners_of_one_folder_do_not_drop_each_others_state(tmp_path: Path) -> None:
    """Whoever saves second is refused, and the first one's state stays."""
    mine, theirs = SnapshotStore(tmp_path, {"store": "a"}), SnapshotStore(tmp_path, {"store": "b"})
    mine.save({}, {"turn": 1})
    with pytest.raises(SnapshotMismatchError, match="store"):
        theirs.save({}, {"turn": 2})
    mine.save({}, {"turn": 3})
    loaded = mine.load()
    assert loaded is not None
    assert loaded[1] == {"turn": 3}


@pytest.mark.parametrize(
    "change", [{"format_version": "1"}, {"format_version": None}, {"identity": [1]}, {"identity": None}]
)
def test_a_well_sealed_manifest_that_makes_no_sense_is_passed_over(
    store: SnapshotStore, change: dict[str, Any]
) -> None:
    """Its digest fits, its values do not: damage like any other, for loading and for saving after it."""
    save(store, 1)
    folder = store.path / "0000000002"
    shutil.copytree(store.path / "0000000001", folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["digest"]
    (folder / "manifest.json").write_bytes(seal(manifest | change))

    with capture_logs() as logs:
        loaded = store.load()

    assert loaded is not None
    assert loaded[1] == {"number": 1}
    assert "does not tell what it belongs to" in logs[0]["problem"]
    SnapshotStore(store.path, IDENTITY).save({}, {"number": 3})


@pytest.mark.parametrize("meta", [b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_a_meta_that_is_no_object_is_passed_over(store: SnapshotStore, meta: bytes) -> None:
    """Vouched for or not, nobody downstream could read it."""
    save(store, 1)
    about = read_manifest(store.path / "0000000001")
    write_sealed(store.path / "0000000002", {"arrays.safetensors": pack({}), "meta.json": meta}, about)
    with capture_logs() as logs:
        loaded = store.load()
    assert loaded is not None
    assert loaded[1] == {"number": 1}
    assert "meta.json: damaged, it holds no object" in logs[0]["problem"]
