"""What operators do by hand, and the history of it."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError, StoreUnavailableError
from service.store import operations as module
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.operations import BY_HAND, MAX_REASON_CHARS, OPERATIONS, Operations, Operator, one_line
from service.store.pin import PIN, find_pin, read_pin
from tests.unit.store.conftest import MakeCheckpoint

IDS = tuple(f"00000{number}-0000000{number}" for number in range(6))
OPS = Operator("ops", "the newer ones misbehave")


@pytest.fixture
def store(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> CheckpointStore:
    """Return a store of six checkpoints, the last one latest, which keeps three."""
    store = CheckpointStore(tmp_path / "store", keep=3)
    for checkpoint_id in IDS:
        store.write(make_checkpoint(checkpoint_id))
        store.point(checkpoint_id, reason="better", by="gate")
    return store


@pytest.fixture
def operations(store: CheckpointStore) -> Operations:
    """Return the acts on that store."""
    return Operations(store)


def damage(store: CheckpointStore, checkpoint_id: str) -> None:
    """Cut off the end of a checkpoint's weights."""
    path = store.path / "checkpoints" / checkpoint_id / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def told(operations: Operations) -> list[tuple[Any, ...]]:
    """Return the history, oldest first, as event, checkpoint, what was before, who and why."""
    keys = ("event", "checkpoint", "before", "by", "reason")
    return [tuple(entry[key] for key in keys) for entry in operations.history(100)[::-1]]


def test_each_act_is_in_the_history_with_who_and_why(operations: Operations, store: CheckpointStore) -> None:
    """And with what was in force until then; times rise."""
    assert operations.history(10) == []
    pointer = operations.promote(IDS[1], OPS)
    assert (pointer.id, pointer.previous, pointer.by, pointer.reason) == (IDS[1], IDS[5], "ops", OPS.reason)
    assert operations.pin(IDS[2], OPS)[1] is None
    new, replaced = operations.pin(IDS[3], Operator("carol"))
    assert (new, replaced) == (read_pin(store.path), IDS[2])
    assert operations.unpin(Operator("dave", "over")) == (True, new)
    assert read_pin(store.path) is None
    assert told(operations) == [
        ("promoted", IDS[1], IDS[5], "ops", OPS.reason),
        ("pinned", IDS[2], None, "ops", OPS.reason),
        ("pinned", IDS[3], IDS[2], "carol", BY_HAND),
        ("unpinned", IDS[3], None, "dave", "over"),
    ]
    times = [entry["at"] for entry in operations.history(2)]
    assert len(times) == 2
    assert times == sorted(times, reverse=True)


def test_to_unpin_nothing_changes_nothing(operations: Operations, store: CheckpointStore) -> None:
    """No entry, and no file: servers that may only read the store can be asked, too."""
    before = sorted(store.path.iterdir())
    assert operations.unpin(OPS) == (False, None)
    assert operations.history(10) == []
    assert sorted(store.path.iterdir()) == before


def test_a_pin_moves_no_pointer_and_a_promotion_no_pin(operations: Operations, store: CheckpointStore) -> None:
    """Each stands for itself: what is promoted while there is a pin serves once the pin is gone."""
    pin, _ = operations.pin(IDS[2], OPS)
    assert store.latest() is not None
    assert store.latest().id == IDS[5]
    operations.promote(IDS[4], OPS)
    assert store.latest().id == IDS[4]
    assert read_pin(store.path) == pin


@pytest.mark.parametrize("act", ["promote", "pin"])
def test_what_cannot_serve_is_refused_without_a_trace(operations: Operations, store: CheckpointStore, act: str) -> None:
    """An unknown id, one that leads out of the store, damage: pointer, pin and history stay as they were."""
    damage(store, IDS[1])
    pointer = store.latest()
    do = getattr(operations, act)
    for wrong in ("000009-00000009", "../../etc", "", "latest", IDS[0] + "\n"):
        with pytest.raises(CheckpointMissingError):
            do(wrong, OPS)
    with pytest.raises(CheckpointDamagedError, match=r"model\.safetensors"):
        do(IDS[1], OPS)
    assert (store.latest(), read_pin(store.path), operations.history(10)) == (pointer, None, [])


@pytest.mark.parametrize("act", ["promote", "pin"])
def test_a_check_refuses_what_it_knows_better(store: CheckpointStore, act: str) -> None:
    """Such as a server, which builds the model first."""

    def check(checkpoint: Checkpoint) -> None:
        assert np.isfinite(checkpoint.tensors["layer.weight"]).all()
        raise StoreError(f"{checkpoint.manifest.id} does not suit")

    operations = Operations(store, check=check)
    with pytest.raises(StoreError, match=f"{IDS[1]} does not suit"):
        getattr(operations, act)(IDS[1], OPS)
    assert operations.history(10) == []


def test_what_is_pinned_is_never_pruned(operations: Operations, store: CheckpointStore) -> None:
    """Nor its root; once the pin is gone it goes like the others."""
    operations.pin(IDS[1], OPS)
    assert store.prune() == [IDS[2], IDS[0]]
    assert store.verify(IDS[1]).id == IDS[1]
    operations.unpin(OPS)
    assert store.prune() == [IDS[1]]


def test_the_root_of_what_is_pinned_stays(store: CheckpointStore, make_checkpoint: MakeCheckpoint) -> None:
    """The frozen model is what the pinned one is compared with."""
    child = "000001-aaaaaaaa"
    store.write(make_checkpoint(child, parent=IDS[0]))
    Operations(store).pin(child, OPS)
    assert store.prune() == [IDS[2], IDS[1]]
    assert store.frozen(child).manifest.id == IDS[0]


def test_with_a_damaged_pin_nothing_is_pruned(operations: Operations, store: CheckpointStore) -> None:
    """It may be any of them that serves; a new pin, or none, mends it."""
    operations.pin(IDS[1], OPS)
    (store.path / PIN).write_bytes(b"{}")
    assert store.prune() == []
    assert operations.unpin(OPS) == (True, None)
    assert told(operations)[-1] == ("unpinned", None, None, "ops", OPS.reason)
    (store.path / PIN).write_bytes(b"")
    assert operations.pin(IDS[1], OPS)[1] is None
    assert find_pin(store.path)[0] is not None
    assert store.prune() == [IDS[2], IDS[0]]


def test_one_pruned_while_it_was_verified_is_not_pinned(
    operations: Operations, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at once more when nothing can prune it any longer."""
    read = store.read

    def then_pruned(checkpoint_id: str) -> Checkpoint:
        checkpoint = read(checkpoint_id)
        assert IDS[1] in store.prune()
        return checkpoint

    monkeypatch.setattr(store, "read", then_pruned)
    with pytest.raises(CheckpointMissingError):
        operations.pin(IDS[1], OPS)
    assert read_pin(store.path) is None
    assert operations.history(10) == []


def test_an_act_that_fails_is_told_as_failed(
    operations: Operations, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry came first, so a second one says that it was not done, and why."""

    def full(*_: object, **__: object) -> None:
        message = "pin: No space left on device"
        raise StoreUnavailableError(message)

    with monkeypatch.context() as broken:
        broken.setattr(module, "write_pin", full)
        with pytest.raises(StoreUnavailableError, match="No space"):
            operations.pin(IDS[1], OPS)
    failed, entry = operations.history(2)
    assert (entry["event"], entry["checkpoint"]) == ("pinned", IDS[1])
    assert (failed["event"], failed["what"], failed["at"]) == ("failed", "pinned", entry["at"])
    assert "No space" in failed["problem"]
    assert read_pin(store.path) is None


@pytest.mark.parametrize("act", ["promote", "pin", "unpin"])
def test_nothing_is_done_that_the_history_cannot_tell(operations: Operations, store: CheckpointStore, act: str) -> None:
    """A history that cannot be written stops the act: pointer and pin stay as they were."""
    pin, _ = operations.pin(IDS[2], OPS)
    pointer = store.latest()
    (store.path / OPERATIONS).rename(store.path / "elsewhere")
    (store.path / OPERATIONS).mkdir()
    with pytest.raises(StoreUnavailableError, match="operations"):
        getattr(operations, act)(*(() if act == "unpin" else (IDS[1],)), OPS)
    assert (store.latest(), read_pin(store.path)) == (pointer, pin)


def test_of_acts_at_the_same_time_each_knows_the_one_before(store: CheckpointStore) -> None:
    """The history is one chain through all of them, whoever acts from wherever, and ends at what is in force."""
    threads = [
        threading.Thread(target=lambda one=one: Operations(CheckpointStore(store.path, 3)).pin(one, Operator(one)))
        for one in IDS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = Operations(store).history(100)[::-1]
    assert sorted(entry["checkpoint"] for entry in entries) == sorted(IDS)
    assert [entry["before"] for entry in entries] == [None, *(entry["checkpoint"] for entry in entries[:-1])]
    pin = read_pin(store.path)
    assert pin is not None
    assert pin.id == entries[-1]["checkpoint"] == entries[-1]["by"]


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (None, BY_HAND),
        ("", BY_HAND),
        (" \n\t", BY_HAND),
        ("  two\nlines\r\n\tand  more ", "two lines and more"),
        ('forged\n{"event": "pinned"}', 'forged {"event": "pinned"}'),
        ("\x1b[2Jred", "\\x1b[2Jred"),
        ("ab\u202ecd\ud800", "ab\\u202ecd\\ud800"),
        ("größer als 0,9 = 模型", "größer als 0,9 = 模型"),
        ("x" * MAX_REASON_CHARS, "x" * MAX_REASON_CHARS),
    ],
)
def test_a_reason_is_one_printable_line(reason: str | None, line: str) -> None:
    """It can forge no log line and steer no terminal."""
    assert one_line(reason) == line


def test_too_long_a_reason_is_refused() -> None:
    """Rather than cut where it may change its sense."""
    with pytest.raises(ValueError, match="longer than 500"):
        one_line("x" * (MAX_REASON_CHARS + 1))
