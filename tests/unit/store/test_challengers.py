"""Challengers that the gate did not let pass, left for servers that shadow them."""

from pathlib import Path

import pytest

from service.errors import CheckpointDamagedError, CheckpointMissingError
from service.store.challengers import (
    CHALLENGERS,
    KEPT,
    leave_challenger,
    newest_candidate,
    read_challenger,
    sweep_challengers,
)
from service.store.checkpoints import CheckpointStore
from tests.unit.serve.builders import checkpoint_of, publish, settings_in


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the place of a store with nothing in it yet."""
    return tmp_path / "store"


def leave(folder: Path, *ids: str) -> None:
    """Leave challengers with these ids."""
    for known in ids:
        leave_challenger(folder / "store", checkpoint_of(settings_in(folder), known))


def test_what_was_left_is_read_as_it_was(tmp_path: Path, store: Path) -> None:
    """Manifest, weights and encoder, every byte verified."""
    left = checkpoint_of(settings_in(tmp_path), "000007-0000000a")
    leave_challenger(store, left)
    found = read_challenger(store, "000007-0000000a")
    assert found.manifest == left.manifest
    assert found.encoder == left.encoder
    assert {name: array.tolist() for name, array in found.tensors.items()} == {
        name: array.tolist() for name, array in left.tensors.items()
    }


def test_only_the_newest_stay(tmp_path: Path, store: Path) -> None:
    """However many rounds are rejected, the folder holds KEPT of them."""
    ids = [f"{number:06d}-00000000" for number in range(1, 6)]
    leave(tmp_path, *ids)
    assert sorted(entry.name for entry in (store / CHALLENGERS).iterdir()) == ids[-KEPT:]
    with pytest.raises(CheckpointMissingError):
        read_challenger(store, ids[0])


def test_the_newest_candidate_is_whichever_round_came_last(tmp_path: Path, store: Path) -> None:
    """Rejected or promoted, by the round's number; nothing where there was none."""
    assert newest_candidate(store) is None
    promoted = publish(settings_in(tmp_path))
    assert newest_candidate(store) == promoted
    leave(tmp_path, "000009-00000000")
    assert newest_candidate(store) == "000009-00000000"
    later = publish_as(tmp_path, "000010-00000000")
    assert newest_candidate(store) == later


def publish_as(folder: Path, checkpoint_id: str) -> str:
    """Write a checkpoint of this id and point to it."""
    settings = settings_in(folder)
    store = CheckpointStore(settings.store.path, settings.store.keep)
    store.write(checkpoint_of(settings, checkpoint_id))
    store.point(checkpoint_id, reason="test", by="test")
    return checkpoint_id


def test_a_challenger_can_not_be_made_to_serve(tmp_path: Path, store: Path) -> None:
    """No list shows it, and no promotion finds it."""
    publish(settings_in(tmp_path))
    leave(tmp_path, "000009-00000000")
    checkpoints = CheckpointStore(store, 5)
    assert "000009-00000000" not in [entry.id for entry in checkpoints.entries()]
    with pytest.raises(CheckpointMissingError):
        checkpoints.point("000009-00000000", reason="by mistake", by="operator")


def test_a_damaged_challenger_is_not_read(tmp_path: Path, store: Path) -> None:
    """It is not made durable, so a crash may well damage one: the digest tells."""
    leave(tmp_path, "000009-00000000")
    path = store / CHALLENGERS / "000009-00000000" / "encoder.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointDamagedError, match=r"encoder\.json"):
        read_challenger(store, "000009-00000000")


def test_a_challenger_in_another_ones_place_is_not_read(tmp_path: Path, store: Path) -> None:
    """Whole, but not what its folder's name says."""
    leave(tmp_path, "000009-00000000")
    (store / CHALLENGERS / "000009-00000000").rename(store / CHALLENGERS / "000010-00000000")
    with pytest.raises(CheckpointDamagedError, match="its manifest is that of"):
        read_challenger(store, "000010-00000000")


def test_nothing_is_swept_where_nothing_was_left(tmp_path: Path, store: Path) -> None:
    """Neither a missing folder nor a whole challenger is disturbed."""
    sweep_challengers(store)
    leave(tmp_path, "000009-00000000")
    sweep_challengers(store)
    assert newest_candidate(store) == "000009-00000000"
