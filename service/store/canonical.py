"""JSON in one way only, so that a digest over it is stable, and small JSON files that carry their own digest."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from service.errors import CheckpointDamagedError

DIGEST = "digest"


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return a value as plain JSON: numpy scalars and arrays unwrapped, tuples as lists, NaN and infinities as None.

    Raises TypeError for what JSON cannot hold.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return plain(_unwrap(value))


def exact_json(value: Any) -> bytes:  # noqa: ANN401 - JSON holds anything
    """Return JSON for our own eyes: numpy unwrapped, and NaN and infinities kept, as Python spells them."""
    return json.dumps(value, default=_unwrap).encode("ascii")


def _unwrap(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    message = f"{type(value).__name__} cannot be written as JSON"
    raise TypeError(message)


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - JSON holds anything
    """Return the one spelling of a JSON value: sorted keys, no spaces, ASCII; NaN becomes null."""
    return _spelt(plain(value))


def _spelt(value: Any) -> bytes:  # noqa: ANN401 - JSON holds anything
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal(values: Mapping[str, Any]) -> bytes:
    """Return an object as readable JSON with the digest of the rest under ``digest``."""
    body = plain(values)
    if DIGEST in body:
        message = f"{DIGEST!r} is the seal's own key"
        raise ValueError(message)
    return _sealed(body)


def _sealed(body: dict[str, Any]) -> bytes:
    whole = {**body, DIGEST: sha256(_spelt(body))}
    return json.dumps(whole, sort_keys=True, indent=2, allow_nan=False).encode("ascii") + b"\n"


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """Return what ``seal`` was given; raises CheckpointDamagedError, naming ``where``, if a single byte differs."""
    try:
        values = json.loads(data)
        if isinstance(values, dict):
            values.pop(DIGEST, None)
            # Compared byte by byte, since a digest over values would overlook a changed space. What was read is plain.
            if _sealed(values) == data:
                return values
    except (ValueError, RecursionError):
        pass
    message = f"{where}: damaged, its content does not match its own digest"
    raise CheckpointDamagedError(message)
