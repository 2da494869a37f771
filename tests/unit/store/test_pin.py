"""The pin: one small file that is whole, or says that it is not."""

from pathlib import Path

import pytest

from service.errors import CheckpointDamagedError, StoreUnavailableError
from service.store.canonical import seal
from service.store.pin import PIN, Pin, find_pin, read_pin, remove_pin, write_pin

A, B = "000001-00000001", "000002-00000002"
AT = "2026-01-31T09:30:00.250Z"


def test_a_pin_stays_until_it_is_removed(tmp_path: Path) -> None:
    """With when, by whom and why; a later one takes its place; to remove none is no fault."""
    assert read_pin(tmp_path) is None
    write_pin(tmp_path, Pin(A, AT, "ops", "the newer ones misbehave"))
    write_pin(tmp_path, Pin(B, AT, "ops", "this one is better"))
    assert read_pin(tmp_path) == Pin(B, AT, "ops", "this one is better")
    remove_pin(tmp_path)
    assert read_pin(tmp_path) is None
    remove_pin(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_of_a_pin_shows(tmp_path: Path) -> None:
    """It names the file and how to mend it, and never another checkpoint."""
    write_pin(tmp_path, Pin(A, AT, "ops", "why"))
    data = (tmp_path / PIN).read_bytes()
    for index in range(len(data)):
        (tmp_path / PIN).write_bytes(data[:index] + bytes([data[index] ^ (1 << (index % 8))]) + data[index + 1 :])
        with pytest.raises(CheckpointDamagedError, match=r"pin: damaged.*; pin a checkpoint again, or remove"):
            read_pin(tmp_path)
    pin, damage = find_pin(tmp_path)
    assert pin is None
    assert str(tmp_path / PIN) in str(damage)


@pytest.mark.parametrize(
    "values",
    [
        {"id": "../../etc", "at": AT, "by": "ops", "reason": "why"},
        {"id": A, "at": AT, "by": "ops"},
        {"id": A, "at": AT, "by": "ops", "reason": "why", "more": 1},
        {"id": A, "at": 5, "by": "ops", "reason": "why"},
        {"id": A, "at": AT, "by": None, "reason": "why"},
    ],
    ids=["a path", "a part", "more", "a number", "null"],
)
def test_a_sealed_file_that_is_no_pin_is_damaged(tmp_path: Path, values: dict[str, object]) -> None:
    """Whoever wrote it: nothing of it reaches a path or an answer."""
    (tmp_path / PIN).write_bytes(seal(values))
    with pytest.raises(CheckpointDamagedError, match="it pins no checkpoint"):
        read_pin(tmp_path)


def test_a_store_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    """Which a retry can help, unlike damage."""
    store = tmp_path / "store"
    store.write_text("no folder")
    for act in (read_pin, find_pin, remove_pin, lambda path: write_pin(path, Pin(A, AT, "ops", "why"))):
        with pytest.raises(StoreUnavailableError, match="store"):
            act(store)
