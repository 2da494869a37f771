"""Durable writing, sweeping and locks on a real file system."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import LeaseLostError, StoreUnavailableError
from service.store.files import beside, locked, make_folder, replace_file, sweep

ROOT = Path(__file__).parents[3]

LEAVING_CHILD = """
import sys
from pathlib import Path
from service.store.files import beside
folder = Path(sys.argv[1])
beside(folder / "dead").mkdir()
beside(folder / "file").write_bytes(b"x")
"""

LOCK_CHILD = """
import sys
from pathlib import Path
from service.store.files import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_replaced_file_has_the_new_bytes_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """Both for a new file and over an old one, durable or not; others may read it."""
    path = tmp_path / "file"
    for data, durable in ((b"one", True), (b"two", False), (b"", True)):
        replace_file(path, data, durable=durable)
        assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & stat.S_IRUSR


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the new name with old or no bytes."""
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        real_fsync(handle)

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    replace_file(tmp_path / "file", b"x")

    assert steps == ["sync file", "rename", "sync folder"]


def test_a_check_at_the_last_moment_can_stop_it(tmp_path: Path) -> None:
    """The old file stays, and nothing beside it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def superseded() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        replace_file(path, b"new", before_rename=superseded)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_the_file_system_refuses_names_path_and_reason(tmp_path: Path) -> None:
    """Here a folder is in the way, or a file where a folder should be."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailableError, match=r"file/below: Not a directory; check that"):
        make_folder(tmp_path / "file" / "below")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreUnavailableError, match=r"taken: Is a directory"):
        replace_file(tmp_path / "taken", b"")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "taken"]


def test_sweeping_takes_the_dead_writers_leavings_only(tmp_path: Path) -> None:
    """A living process's new file, and files that Freshet did not make, stay."""
    child = subprocess.run([sys.executable, "-c", LEAVING_CHILD, tmp_path], cwd=ROOT, check=False)
    assert child.returncode == 0
    mine = beside(tmp_path / "mine")
    mine.write_bytes(b"")
    elsewhere = tmp_path / f".latest.{'0' * 16}-1-1-{'a' * 8}.tmp"
    elsewhere.write_bytes(b"")
    (tmp_path / ".hidden.tmp").write_bytes(b"")
    (tmp_path / "kept").mkdir()

    removed = sweep(tmp_path)

    assert [name.split(".")[1] for name in removed] == ["dead", "file", "latest"]
    assert {entry.name for entry in tmp_path.iterdir()} == {mine.name, ".hidden.tmp", "kept"}
    assert sweep(tmp_path / "absent") == []


def test_one_at_a_time_holds_a_lock_and_death_frees_it(tmp_path: Path) -> None:
    """Another process's lock is respected, named after a while, and free once that process is killed."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", LOCK_CHILD, path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(StoreUnavailableError, match=r"lock: locked by another process"), locked(path, 0.02):
            pass
        child.kill()
    with locked(path, 0.0):
        pass


def test_a_lock_file_that_was_deleted_binds_nobody(tmp_path: Path) -> None:
    """Whoever locks the file that has the name now holds the lock."""
    path = tmp_path / "lock"
    with locked(path):
        path.unlink()
        with locked(path, 0.02), pytest.raises(StoreUnavailableError), locked(path, 0.02):
            pass
