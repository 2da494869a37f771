"""The pointer to what serves."""

import threading
from pathlib import Path

import pytest

from service.errors import CheckpointDamagedError, LeaseLostError
from service.store.clock import utc_seconds
from service.store.pointer import Pointer, move_pointer, read_pointer, succession

A, B, C, D = (f"00000{number}-0000000{number}" for number in range(1, 5))


def test_a_moved_pointer_knows_the_one_before(tmp_path: Path) -> None:
    """And when, by whom and why it was moved."""
    assert read_pointer(tmp_path) is None
    move_pointer(tmp_path, A, reason="first", by="trainer")
    move_pointer(tmp_path, B, reason="better", by="trainer")

    pointer = read_pointer(tmp_path)

    assert pointer is not None
    assert (pointer.id, pointer.previous, pointer.by, pointer.reason) == (B, A, "trainer", "better")
    assert utc_seconds(pointer.at) > 0


def test_pointing_to_the_same_one_again_keeps_its_predecessor(tmp_path: Path) -> None:
    """Else a second promotion by hand would lose what to fall back to; that it happened is recorded."""
    move_pointer(tmp_path, A, reason="first", by="trainer")
    move_pointer(tmp_path, B, reason="better", by="trainer")
    pointer = move_pointer(tmp_path, B, reason="to be sure", by="user")
    assert (pointer.id, pointer.previous, pointer.by, pointer.reason) == (B, A, "user", "to be sure")
    assert read_pointer(tmp_path) == pointer


def test_every_flipped_bit_of_the_pointer_shows(tmp_path: Path) -> None:
    """It must not name another checkpoint by accident; a move writes it anew."""
    move_pointer(tmp_path, A, reason="first", by="trainer")
    path = tmp_path / "latest"
    data = path.read_bytes()
    for index in range(len(data)):
        path.write_bytes(data[:index] + bytes([data[index] ^ (1 << (index % 8))]) + data[index + 1 :])
        with pytest.raises(CheckpointDamagedError, match="latest: damaged"):
            read_pointer(tmp_path)
    assert move_pointer(tmp_path, B, reason="repair", by="user").previous is None
    assert read_pointer(tmp_path) is not None


def test_a_pointer_out_of_the_store_is_damaged(tmp_path: Path) -> None:
    """A well-formed file with something else than ids."""
    move_pointer(tmp_path, "../../etc", reason="attack", by="nobody")
    with pytest.raises(CheckpointDamagedError, match="no pointer to a checkpoint"):
        read_pointer(tmp_path)


def test_a_check_at_the_last_moment_keeps_the_old_pointer(tmp_path: Path) -> None:
    """A fenced trainer moves nothing."""
    old = move_pointer(tmp_path, A, reason="first", by="trainer")

    def superseded() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        move_pointer(tmp_path, B, reason="late", by="trainer", before_rename=superseded)
    assert read_pointer(tmp_path) == old


def test_of_moves_at_the_same_time_each_knows_the_one_before(tmp_path: Path) -> None:
    """The predecessors form one chain through all of them: none is lost."""
    ids = [f"{number:06d}-{number:08x}" for number in range(8)]
    moved: list[Pointer] = []
    threads = [
        threading.Thread(target=lambda i=i: moved.append(move_pointer(tmp_path, i, reason="", by=""))) for i in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = read_pointer(tmp_path)
    assert last is not None
    assert {pointer.previous for pointer in moved} == {None, *ids} - {last.id}


def test_the_succession_prefers_what_served_then_ancestors_then_older_ones() -> None:
    """Newer ones never, each once, and a ring of parents does no harm."""
    ids = ["000009-00000009", D, C, B, A]
    parents = {D: B, B: A, A: B}
    assert list(succession(Pointer(D, C, "", "", ""), ids, parents.get)) == [D, C, B, A]
    assert list(succession(Pointer(C, None, "", "", ""), ids, parents.get)) == [C, B, A]
    assert list(succession(Pointer(A, A, "", "", ""), ids, {A: D, D: B}.get)) == [A, D, B]
