"""Sealed folders: all or nothing, and every byte vouched for."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import CheckpointDamagedError, CheckpointMissingError, LeaseLostError, StoreUnavailableError
from service.store.canonical import seal
from service.store.sealed import read_manifest, read_sealed, remove_sealed, write_sealed

FILES = {"weights.bin": bytes(range(256)), "empty.json": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a sealed folder."""
    path = tmp_path / "above" / "sealed"
    write_sealed(path, FILES, {"id": "x", "numbers": (1, 2)})
    return path


def test_what_was_sealed_comes_back(folder: Path) -> None:
    """Manifest and files, and nothing lies beside the folder."""
    assert read_sealed(folder) == ({"id": "x", "numbers": [1, 2]}, FILES)
    assert read_manifest(folder) == {"id": "x", "numbers": [1, 2]}
    assert [entry.name for entry in folder.parent.iterdir()] == ["sealed"]


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
def test_each_flipped_bit_and_each_cut_is_found(folder: Path, name: str) -> None:
    """At every position of every file, with the damaged file's name in the message."""
    path = folder / name
    data = path.read_bytes()
    for index in range(len(data)):
        flipped = data[:index] + bytes([data[index] ^ (1 << (index % 8))]) + data[index + 1 :]
        for bad in (flipped, data[:index], data + data[index : index + 1]):
            path.write_bytes(bad)
            with pytest.raises(CheckpointDamagedError, match=f"{name}: damaged"):
                read_sealed(folder)
    path.write_bytes(data)
    read_sealed(folder)


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "away")
    path.symlink_to(path.parent.parent / "away")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, _link, _pipe, _folder])
@pytest.mark.parametrize("name", ["weights.bin", "empty.json", "manifest.json"])
def test_a_file_that_is_missing_or_no_file_is_damage(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    """Links are not followed and pipes not waited for; already the look at the manifest shows it."""
    damage(folder / name)
    for read in (read_sealed, read_manifest):
        with pytest.raises(CheckpointDamagedError, match=f"{name}: damaged"):
            read(folder)


def test_a_file_too_many_is_damage(folder: Path) -> None:
    """Also a hidden one, and an empty folder."""
    (folder / ".extra").write_bytes(b"")
    with pytest.raises(CheckpointDamagedError, match=r"\.extra: damaged, the manifest knows no such file"):
        read_sealed(folder)
    (folder / ".extra").unlink()
    (folder / "below").mkdir()
    with pytest.raises(CheckpointDamagedError, match="below: damaged"):
        read_manifest(folder)


def test_a_link_or_a_file_is_no_sealed_folder(folder: Path, tmp_path: Path) -> None:
    """Even if what the link points to is whole."""
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        with pytest.raises(CheckpointDamagedError, match=f"{name}: damaged, it is not a folder"):
            read_sealed(tmp_path / name)
    with pytest.raises(CheckpointMissingError, match="absent: no such folder"):
        read_sealed(tmp_path / "absent")


def test_a_check_at_the_last_moment_can_stop_it(tmp_path: Path) -> None:
    """Then nothing was written."""

    def superseded() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        write_sealed(tmp_path / "a", FILES, {}, before_rename=superseded)
    assert list(tmp_path.iterdir()) == []


def test_a_sealed_folder_is_never_overwritten(folder: Path) -> None:
    """The old one stays whole, the new one leaves nothing."""
    with pytest.raises(StoreUnavailableError, match="sealed: Directory not empty"):
        write_sealed(folder, {"other": b""}, {})
    assert read_sealed(folder)[1] == FILES
    assert len(list(folder.parent.iterdir())) == 1


def test_when_the_new_name_cannot_be_made_durable_it_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is reported as failed must not be found later."""
    real = os.fsync
    parent = tmp_path.stat().st_ino

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_ino == parent:
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreUnavailableError, match="a: Input/output error"):
        write_sealed(tmp_path / "a", FILES, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["manifest.json", "../up", "a/b", ".hidden", ".."])
def test_names_that_lead_out_or_are_taken_are_refused(tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match="cannot be a name"):
        write_sealed(tmp_path / "a", {name: b""}, {})
    with pytest.raises(ValueError, match="files"):
        write_sealed(tmp_path / "a", {}, {"files": {}})
    assert list(tmp_path.iterdir()) == []


def test_a_removal_breaks_no_reader_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files are open before the first is read, so their bytes are still there after the removal."""
    real = os.fstat
    removed = []

    def fstat(handle: int) -> os.stat_result:
        result = real(handle)
        if result.st_size == len(FILES["weights.bin"]) and not removed:  # the last file was opened just now
            remove_sealed(folder)
            removed.append(folder)
        return result

    monkeypatch.setattr(os, "fstat", fstat)
    assert read_sealed(folder)[1] == FILES
    assert removed
    assert list(folder.parent.iterdir()) == []


def test_a_removal_before_the_files_are_open_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is told that the folder is gone, not that it is broken."""
    real = os.listdir

    def listdir(handle: int) -> list[str]:
        names = real(handle)
        shutil.rmtree(folder)
        return names

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(CheckpointMissingError, match="removed while it was being read"):
        read_sealed(folder)


def test_removing_twice_is_no_error(folder: Path) -> None:
    """It is gone, which is what was asked for."""
    remove_sealed(folder)
    remove_sealed(folder)
    assert list(folder.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "../up", "", ".hidden", "n" * 300])
def test_a_manifest_that_vouches_for_an_impossible_name_is_damaged(folder: Path, name: str) -> None:
    """Well sealed by somebody else: it is neither opened nor an error of another kind."""
    entry = {"size": 0, "sha256": ""}
    (folder / "manifest.json").write_bytes(seal({"files": {name: entry, "weights.bin": entry, "empty.json": entry}}))
    with pytest.raises(CheckpointDamagedError, match="damaged"):
        read_sealed(folder)
