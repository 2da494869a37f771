"""The small file that holds every server at one checkpoint, whatever the pointer names, until somebody removes it.

Whoever writes or removes it holds the lock of the pointer: what is pinned cannot be pruned meanwhile.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from service.errors import CheckpointDamagedError
from service.store.canonical import seal, unseal
from service.store.files import replace_file, store_errors, sync_folder
from service.store.manifest import is_id

PIN = "pin"

MEND = "pin a checkpoint again, or remove the pin with `freshet checkpoints unpin`"


@dataclass(frozen=True, slots=True)
class Pin:
    """Which checkpoint serves until the pin is removed, and since when, by whom and why."""

    id: str
    at: str
    by: str
    reason: str


def read_pin(store_path: Path) -> Pin | None:
    """Return the store's pin, None if there is none.

    Raises CheckpointDamagedError if the file is not what was written, StoreUnavailableError if it cannot be read.
    """
    path = store_path / PIN
    with store_errors(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        pin = Pin(**unseal(data, str(path)))
    except CheckpointDamagedError as error:
        raise CheckpointDamagedError(f"{error}; {MEND}") from None
    except TypeError:
        pin = None
    if pin is None or not is_id(pin.id) or not all(isinstance(text, str) for text in (pin.at, pin.by, pin.reason)):
        raise CheckpointDamagedError(f"{path}: damaged, it pins no checkpoint; {MEND}")
    return pin


def find_pin(store_path: Path) -> tuple[Pin | None, str | None]:
    """Return the store's pin, if there is one, and what is wrong with its file, if it is damaged.

    Raises StoreUnavailableError if it cannot be read.
    """
    try:
        return read_pin(store_path), None
    except CheckpointDamagedError as error:
        return None, str(error)


def write_pin(store_path: Path, pin: Pin) -> None:
    """Put a pin in place of another, durably and at once; raises StoreUnavailableError."""
    replace_file(store_path / PIN, seal(asdict(pin)))


def remove_pin(store_path: Path) -> None:
    """Remove the pin, durably; raises StoreUnavailableError."""
    path = store_path / PIN
    with store_errors(path):
        path.unlink(missing_ok=True)
        sync_folder(store_path)
