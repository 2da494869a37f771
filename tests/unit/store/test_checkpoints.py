"""The store of checkpoints."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    CheckpointDamagedError,
    CheckpointMissingError,
    LeaseLostError,
    StoreError,
    StoreUnavailableError,
)
from service.store.canonical import seal
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.manifest import FORMAT_VERSION
from service.store.sealed import read_sealed, remove_sealed, write_sealed

MakeCheckpoint = Callable[..., Checkpoint]
IDS = [f"00000{number}-0000000{number}" for number in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Return an empty store that keeps three."""
    return CheckpointStore(tmp_path / "store", keep=3)


@pytest.fixture
def full(store: CheckpointStore, make_checkpoint: MakeCheckpoint) -> CheckpointStore:
    """Return a store with six checkpoints, each the parent of the next and the last but one published last."""
    for index, checkpoint_id in enumerate(IDS):
        parent = IDS[index - 1] if index else None
        store.write(make_checkpoint(checkpoint_id, parent=parent, lineage=IDS[0]))
        if index < len(IDS) - 1:
            store.point(checkpoint_id, reason="better", by="trainer")
    return store


def damage(store: CheckpointStore, checkpoint_id: str, name: str = "model.safetensors") -> None:
    """Flip one bit in the middle of one file of a checkpoint."""
    path = store.path / "checkpoints" / checkpoint_id / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_checkpoint_comes_back_as_it_was_written(store: CheckpointStore, make_checkpoint: MakeCheckpoint) -> None:
    """Manifest, weights and the encoder's state, NaN in it included."""
    written = make_checkpoint(IDS[1], gate={"alpha": 0.05})
    store.write(written)

    read = store.read(IDS[1])

    assert read.manifest == written.manifest == store.verify(IDS[1])
    assert read.tensors.keys() == written.tensors.keys()
    for name, tensor in written.tensors.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)
        assert read.tensors[name].dtype == tensor.dtype
    assert read.encoder["labels"] == ["é"]
    np.testing.assert_array_equal(read.encoder["mean"], [0.5, np.nan])


def test_a_publication_tried_again_finds_its_checkpoint(
    store: CheckpointStore, make_checkpoint: MakeCheckpoint
) -> None:
    """The disk was full after the checkpoint was written; other weights under the same id are refused."""
    store.write(make_checkpoint(IDS[1]))
    store.write(make_checkpoint(IDS[1], created_at="2026-01-31T09:31:00.000Z"))
    assert store.verify(IDS[1]).created_at == "2026-01-31T09:30:00.250Z"
    other = Checkpoint(make_checkpoint(IDS[1]).manifest, {"layer.bias": np.ones(4)}, {})
    with pytest.raises(StoreUnavailableError, match="not empty"):
        store.write(other)
    assert store.read(IDS[1]).tensors.keys() == make_checkpoint(IDS[1]).tensors.keys()


def test_an_empty_store_is_no_error_and_reading_makes_nothing(store: CheckpointStore) -> None:
    """A server may start before the trainer, with no right to write."""
    assert store.entries() == []
    assert store.latest() is None
    assert store.newest_sound() is None
    assert store.sweep() == []
    assert not store.path.exists()


def test_new_ids_are_above_all_others(full: CheckpointStore, make_checkpoint: MakeCheckpoint) -> None:
    """Also if rounds are counted from the start again, or a round is repeated after a crash; never twice the same."""
    assert full.new_id(42).startswith("000042-")
    assert full.new_id(5).startswith("000006-")
    assert full.new_id(0).startswith("000006-")
    assert len({full.new_id(1) for _ in range(100)}) == 100
    full.write(make_checkpoint(full.new_id(999_999)))
    assert full.new_id(3).startswith("1000000-")
    full.write(make_checkpoint(full.new_id(3)))
    assert [entry.id[:7] for entry in full.entries()[:2]] == ["1000000", "999999-"]


@pytest.mark.parametrize(
    "checkpoint_id",
    ["", ".", "..", "../../etc/passwd", "/etc", "000001-00000001/", "000001-00000009", "a\0b", "x" * 999],
)
def test_an_id_that_is_none_is_missing_and_never_becomes_a_path(full: CheckpointStore, checkpoint_id: str) -> None:
    """It may come over HTTP; the message is one line and says where to look."""
    for use in (full.read, full.verify, full.manifest, full.frozen, lambda i: full.point(i, reason="", by="")):
        with pytest.raises(CheckpointMissingError, match=r"^no checkpoint .*`freshet checkpoints list`") as caught:
            use(checkpoint_id)
        assert "\n" not in str(caught.value)
    assert full.latest().id == IDS[4]


@pytest.mark.parametrize("name", ["model.safetensors", "encoder.json", "manifest.json"])
def test_a_damaged_checkpoint_is_neither_read_nor_pointed_to(full: CheckpointStore, name: str) -> None:
    """Whatever file it is in; the pointer stays."""
    damage(full, IDS[5], name)
    for use in (full.read, full.verify, lambda i: full.point(i, reason="", by="")):
        with pytest.raises(CheckpointDamagedError, match=f"{IDS[5]}/{name}: damaged"):
            use(IDS[5])
    assert full.latest().id == IDS[4]


def test_a_folder_under_a_wrong_name_is_damaged(full: CheckpointStore) -> None:
    """A whole checkpoint that somebody renamed answers to no other id."""
    folder = full.path / "checkpoints"
    (folder / IDS[2]).rename(folder / "000007-00000007")
    with pytest.raises(CheckpointDamagedError, match=f"its manifest is that of {IDS[2]}"):
        full.read("000007-00000007")


def test_a_listing_shows_newest_first_and_what_is_wrong(full: CheckpointStore) -> None:
    """A damaged manifest or a file cut short shows without reading weights."""
    damage(full, IDS[3], "manifest.json")
    (full.path / "checkpoints" / IDS[1] / "model.safetensors").write_bytes(b"")
    (full.path / "checkpoints" / "notes.txt").write_text("not mine")

    entries = full.entries()

    assert [entry.id for entry in entries] == IDS[::-1]
    assert [entry.id for entry in entries if entry.manifest is None] == [IDS[3], IDS[1]]
    assert "manifest.json: damaged" in (entries[2].problem or "")
    assert "model.safetensors: damaged" in (entries[4].problem or "")
    assert entries[0].manifest is not None
    assert entries[0].problem is None


def test_the_sound_one_is_the_one_pointed_to(full: CheckpointStore) -> None:
    """Not the newest, if that was never published."""
    sound = full.newest_sound()
    assert sound is not None
    assert sound.manifest.id == IDS[4]


def test_in_place_of_a_damaged_checkpoint_the_one_before_serves(full: CheckpointStore) -> None:
    """One after the other down to the root, each damaged one reported once; then nothing is left."""
    expected = [IDS[3], IDS[2], IDS[1], IDS[0], None]
    for index, left in zip((4, 3, 2, 1, 0), expected, strict=True):
        damage(full, IDS[index])
        reported: list[str] = []
        sound = full.newest_sound(lambda i, _: reported.append(i))  # noqa: B023 - called at once
        assert (sound and sound.manifest.id) == left
        assert reported == [IDS[i] for i in range(4, index - 1, -1)]


def test_the_one_that_served_before_comes_before_older_ones(full: CheckpointStore) -> None:
    """After a step back by hand, the one stepped back from is the predecessor, though newer."""
    full.point(IDS[1], reason="step back", by="user")
    damage(full, IDS[1])
    sound = full.newest_sound()
    assert sound is not None
    assert sound.manifest.id == IDS[4]


def test_with_a_damaged_pointer_the_newest_whole_one_serves(full: CheckpointStore) -> None:
    """And the pointer is reported by its name."""
    (full.path / "latest").write_bytes(b"{}")
    damage(full, IDS[5])
    reported: list[tuple[str, StoreError]] = []
    sound = full.newest_sound(lambda i, e: reported.append((i, e)))
    assert sound is not None
    assert sound.manifest.id == IDS[4]
    assert [name for name, _ in reported] == ["latest", IDS[5]]
    with pytest.raises(CheckpointDamagedError):
        full.latest()


def test_a_missing_checkpoint_is_passed_over_like_a_damaged_one(full: CheckpointStore) -> None:
    """Somebody deleted the folder by hand."""
    shutil.rmtree(full.path / "checkpoints" / IDS[4])
    sound = full.newest_sound()
    assert sound is not None
    assert sound.manifest.id == IDS[3]


def test_a_reader_that_was_overtaken_looks_at_the_pointer_again(
    full: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the pointer and at the checkpoint, others were published and the old one was pruned."""
    full.point(IDS[1], reason="step back", by="user")
    real = full.latest
    overtaken: list[str] = []

    def latest() -> object:
        pointer = real()
        if not overtaken:
            overtaken.extend(IDS[3:])
            for later in IDS[3:]:
                CheckpointStore(full.path, keep=3).point(later, reason="better", by="trainer")
            CheckpointStore(full.path, keep=3).prune()
        return pointer

    monkeypatch.setattr(full, "latest", latest)
    reported: list[str] = []
    sound = full.newest_sound(lambda i, _: reported.append(i))
    assert sound is not None
    assert sound.manifest.id == IDS[5]
    assert reported == []


def test_a_newer_programs_checkpoint_is_passed_over(full: CheckpointStore) -> None:
    """A server that was not upgraded yet keeps serving what it understands."""
    folder = full.path / "checkpoints" / IDS[4]
    values = full.manifest(IDS[4]).model_dump(mode="json")
    files = {"manifest.json": seal({**values, "format_version": FORMAT_VERSION + 1, "files": {}})}
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    with pytest.raises(StoreError, match="upgrade Freshet"):
        full.read(IDS[4])
    sound = full.newest_sound()
    assert sound is not None
    assert sound.manifest.id == IDS[3]


def test_a_checkpoint_knows_its_frozen_root(full: CheckpointStore) -> None:
    """The pre-trained model of its lineage; the root's root is itself."""
    assert full.frozen(IDS[4]).manifest.id == IDS[0]
    assert full.frozen(IDS[0]).manifest.id == IDS[0]


def test_pruning_keeps_the_newest_the_protected_and_what_serves(full: CheckpointStore) -> None:
    """With the predecessor and the frozen root, the rest goes for good, without a trace."""
    full.point(IDS[1], reason="step back", by="user")
    full.point(IDS[2], reason="step", by="user")
    assert full.prune() == []  # 3, 4, 5 are the newest, 2 serves, 1 did before, 0 is the root
    full.point(IDS[3], reason="step", by="user")
    full.point(IDS[4], reason="step", by="user")
    assert full.prune(protected=[IDS[2]]) == [IDS[1]]
    assert full.prune() == [IDS[2]]
    assert sorted(entry.name for entry in (full.path / "checkpoints").iterdir()) == [IDS[0], *IDS[3:]]


def test_pruning_counts_whole_checkpoints_only(full: CheckpointStore) -> None:
    """Damaged ones must not crowd out whole ones; one newer than all whole ones may be a newer program's."""
    for damaged in (IDS[5], IDS[2]):
        damage(full, damaged, "manifest.json")
    assert full.prune() == [IDS[2]]
    assert [entry.id for entry in full.entries()] == [IDS[5], IDS[4], IDS[3], IDS[1], IDS[0]]


def test_with_a_damaged_pointer_nothing_is_pruned(full: CheckpointStore) -> None:
    """It is not known what serves."""
    (full.path / "latest").write_bytes(b"")
    assert CheckpointStore(full.path, keep=1).prune() == []
    assert len(full.entries()) == len(IDS)


def test_what_cannot_be_looked_at_is_not_pruned(full: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails to answer for a moment is no reason to delete; the listing shows it."""
    real = CheckpointStore.manifest

    def manifest(self: CheckpointStore, checkpoint_id: str) -> object:
        if checkpoint_id == IDS[1]:
            raise StoreUnavailableError("too many open files")
        return real(self, checkpoint_id)

    monkeypatch.setattr(CheckpointStore, "manifest", manifest)
    with pytest.raises(StoreUnavailableError):
        full.prune()
    assert {entry.id: entry.problem for entry in full.entries()}[IDS[1]] == "too many open files"
    assert len(full.entries()) == len(IDS)


def test_a_fenced_trainer_writes_and_publishes_nothing(full: CheckpointStore, make_checkpoint: MakeCheckpoint) -> None:
    """The check comes when everything else is done."""

    def superseded() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        full.write(make_checkpoint("000009-00000009"), superseded)
    with pytest.raises(LeaseLostError):
        full.point(IDS[5], reason="late", by="trainer", guard=superseded)
    assert len(list((full.path / "checkpoints").iterdir())) == len(IDS)
    assert full.latest().id == IDS[4]


def test_a_checkpoint_pruned_while_it_was_verified_is_not_pointed_to(
    full: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once more when nothing can prune it any longer."""
    real = full.verify

    def verify(checkpoint_id: str) -> object:
        manifest = real(checkpoint_id)
        assert full.prune() == [IDS[2], IDS[1]]
        return manifest

    monkeypatch.setattr(full, "verify", verify)
    with pytest.raises(CheckpointMissingError):
        full.point(IDS[1], reason="step back", by="user")
    assert full.latest().id == IDS[4]


def test_an_encoder_nested_without_end_is_damage(store: CheckpointStore, make_checkpoint: MakeCheckpoint) -> None:
    """Vouched for, yet no reader of JSON gets to its end."""
    store.write(make_checkpoint(IDS[1]))
    folder = store.path / "checkpoints" / IDS[1]
    manifest, files = read_sealed(folder)
    remove_sealed(folder)
    write_sealed(folder, files | {"encoder.json": b"[" * 100_000}, manifest)
    with pytest.raises(CheckpointDamagedError, match="cannot read a part of a checkpoint"):
        store.read(IDS[1])
