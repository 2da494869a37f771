"""The trainer's state on disk: the newest whole snapshot decides where a restart goes on."""

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from numpy.typing import NDArray

from service.errors import CheckpointDamagedError, CheckpointMissingError, SnapshotMismatchError, StoreUnavailableError
from service.store.arrays import Arrays, pack, unpack
from service.store.canonical import exact_json
from service.store.clock import utc_text
from service.store.files import store_errors, sweep
from service.store.fingerprint import difference
from service.store.sealed import read_manifest, read_sealed, remove_sealed, write_sealed

FORMAT_VERSION = 2
"""Since 2 with the fates of offsets; 1 is read as a state that knows none."""
SNAPSHOTS = "snapshots"
ARRAYS = "arrays.safetensors"
META = "meta.json"

_NAME = re.compile(r"[0-9]{10}")
_log = structlog.get_logger(__name__)


class SnapshotStore:
    """Sealed, numbered snapshots in a folder of their own, the newest ``keep`` of them; one writer.

    ``identity`` holds the plain values that a snapshot must share with the configuration to be of use, such as those
    of ``fingerprint.schema_values``.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], keep: int = 2) -> None:
        self.path = path
        self.identity = dict(identity)
        self.keep = keep
        self._mine: int | None = None

    def save(
        self,
        arrays: Mapping[str, NDArray[Any]],
        meta: Mapping[str, Any],
        fence_check: Callable[[], None] | None = None,
    ) -> None:
        """Save the whole state, durable once this returns, and drop the oldest.

        ``meta`` is JSON; NaN and infinities in it survive. Raises StoreUnavailableError, and SnapshotMismatchError
        when somebody of another identity saves here too: the one would drop the other's state. ``fence_check`` is
        called when only the rename is left, and may raise LeaseLostError to stop it.
        """
        known = self._numbers()
        if known and known[0] != self._mine:
            self._check_newest(known[0])
        number = known[0] + 1 if known else 1
        files = {ARRAYS: pack(arrays), META: exact_json(meta)}
        about = {
            "format_version": FORMAT_VERSION,
            "number": number,
            "created_at": utc_text(time.time()),
            "identity": self.identity,
        }
        write_sealed(self._folder(number), files, about, before_rename=fence_check)
        self._mine = number
        for old in known[self.keep - 1 :]:
            try:
                remove_sealed(self._folder(old))
            except StoreUnavailableError as error:  # the new one is safe: this save did not fail
                _log.warning("old snapshot stays", problem=str(error))

    def load(self, *, of_any: bool = False) -> tuple[Arrays, dict[str, Any]] | None:
        """Return arrays and meta of the newest whole snapshot, None if there never was one.

        With ``of_any`` its identity does not matter, for those who only look.
        Raises SnapshotMismatchError if it belongs to another identity or format, CheckpointDamagedError if there are
        snapshots and not one of them is whole.
        """
        known = self._numbers()
        for number in known:
            folder = self._folder(number)
            try:
                about, files = read_sealed(folder)
                self._check(about, folder, of_any=of_any)
                return unpack(files[ARRAYS], str(folder)), _object(files[META], folder / META)
            except (CheckpointDamagedError, KeyError, RecursionError) as error:
                _log.warning("snapshot passed over", snapshot=folder.name, problem=str(error))
        if known:
            message = (
                f"{self.path}: no snapshot is whole; restore the folder from a copy, or move it away to go on "
                "from the published model, behind what it has learnt"
            )
            raise CheckpointDamagedError(message)
        return None

    def sweep(self) -> list[str]:
        """Remove what a crashed writer left behind; only for the holder of the lease."""
        return sweep(self.path)

    def _check_newest(self, number: int) -> None:
        folder = self._folder(number)
        try:
            self._check(read_manifest(folder), folder)
        except (CheckpointDamagedError, CheckpointMissingError, KeyError):
            return  # whose it was cannot be told; ``load`` passes it over as well

    def _check(self, about: Mapping[str, Any], folder: Path, *, of_any: bool = False) -> None:
        version, identity = about["format_version"], about["identity"]
        if not isinstance(version, int) or not isinstance(identity, Mapping):
            message = f"{folder}: damaged, it does not tell what it belongs to"
            raise CheckpointDamagedError(message)
        if version > FORMAT_VERSION:
            message = (
                f"{folder}: a newer Freshet wrote it (format {version}, this one reads {FORMAT_VERSION}); "
                "start that version, or move the folder away to begin anew"
            )
            raise SnapshotMismatchError(message)
        differs = difference(identity, self.identity)
        if differs and not of_any:
            message = (
                f"{folder}: saved under another configuration ({differs}); "
                "put the configuration back, or move the folder away to begin anew"
            )
            raise SnapshotMismatchError(message)

    def _folder(self, number: int) -> Path:
        return self.path / f"{number:010d}"

    def _numbers(self) -> list[int]:
        with store_errors(self.path):
            try:
                return sorted((int(e.name) for e in self.path.iterdir() if _NAME.fullmatch(e.name)), reverse=True)
            except FileNotFoundError:
                return []


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        message = f"{path}: damaged, it holds no object"
        raise CheckpointDamagedError(message)
    return values
