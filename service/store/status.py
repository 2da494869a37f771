"""What the trainer tells servers about itself, about once a second, in ``status.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.store.canonical import plain
from service.store.files import make_folder, replace_file

STATUS = "status.json"


def write_status(store_path: Path, status: Mapping[str, Any]) -> None:
    """Replace the status at once; not fsynced, since it is old within a second. Raises StoreUnavailableError."""
    make_folder(store_path)
    data = json.dumps(plain(status), indent=2, allow_nan=False).encode("ascii") + b"\n"
    replace_file(store_path / STATUS, data, durable=False)


def read_status(store_path: Path) -> dict[str, Any] | None:
    """Return the last status, None if there is none or it cannot be read."""
    try:
        status = json.loads((store_path / STATUS).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return status if isinstance(status, dict) else None
