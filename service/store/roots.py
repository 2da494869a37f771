"""Which checkpoints are whole and what each descends from, for whoever asks of the same ones over and over."""

import os
from collections.abc import Callable
from pathlib import Path

from service.store.manifest import Manifest

Signature = tuple[tuple[str, int, int, int], ...]
"""Of each file its name, inode, size and time of change in ns: the same as long as nobody has written to it."""


class Roots:
    """Remembers checkpoints below a folder that were whole; ``look`` returns a manifest, None for one that is not."""

    def __init__(self, folder: Path, look: Callable[[str], Manifest | None]) -> None:
        self._folder = folder
        self._look = look
        self._known: dict[str, tuple[Signature, str]] = {}

    def of(self, checkpoint_id: str) -> str | None:
        """Return a checkpoint's lineage, None if it is not whole; looked at again only if its files have changed."""
        signature = self._signature(checkpoint_id)
        known = self._known.get(checkpoint_id)
        if known is not None and known[0] == signature:
            return known[1]
        manifest = self._look(checkpoint_id)
        if manifest is None:
            return None
        if signature is not None:
            self._known[checkpoint_id] = signature, manifest.lineage
        return manifest.lineage

    def forget(self, checkpoint_id: str) -> None:
        """Note that a checkpoint is gone."""
        self._known.pop(checkpoint_id, None)

    def _signature(self, checkpoint_id: str) -> Signature | None:
        try:
            with os.scandir(self._folder / checkpoint_id) as entries:
                looks = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError:  # whatever is wrong, who looks closer says so
            return None
        return tuple(sorted((name, look.st_ino, look.st_size, look.st_mtime_ns) for name, look in looks))
