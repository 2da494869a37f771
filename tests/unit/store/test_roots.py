"""What was whole is not read again, unless somebody has touched it."""

from collections.abc import Callable
from pathlib import Path

from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.manifest import Manifest
from service.store.roots import Roots

MakeCheckpoint = Callable[..., Checkpoint]
ID = "000042-3f9a1c2b"


class Looks:
    """Looks into a store, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.store = CheckpointStore(path, 3)
        self.times = 0
        self.roots = Roots(path / "checkpoints", self.look)

    def look(self, checkpoint_id: str) -> Manifest | None:
        """Return the manifest if the store finds it whole."""
        self.times += 1
        return next(entry.manifest for entry in self.store.entries() if entry.id == checkpoint_id)


def test_a_checkpoint_is_read_once(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> None:
    """Its root is remembered; one that was deleted is forgotten."""
    looks = Looks(tmp_path)
    looks.store.write(make_checkpoint(ID))
    assert [looks.roots.of(ID) for _ in range(3)] == [ID] * 3
    assert looks.times == 1
    looks.roots.forget(ID)
    assert looks.roots.of(ID) == ID
    assert looks.times == 2


def test_one_that_was_cut_off_since_is_not_whole(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> None:
    """Whatever was seen before."""
    looks = Looks(tmp_path)
    looks.store.write(make_checkpoint(ID))
    assert looks.roots.of(ID) == ID
    weights = tmp_path / "checkpoints" / ID / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert looks.roots.of(ID) is None
    assert looks.roots.of(ID) is None
    assert looks.times == 3


def test_what_is_no_folder_is_not_whole(tmp_path: Path) -> None:
    """A file in the place of a checkpoint is for the look to judge."""
    looks = Looks(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ID).write_text("no folder")
    assert looks.roots.of(ID) is None
