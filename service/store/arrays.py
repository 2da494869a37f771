"""Named arrays as safetensors bytes: inert, with nothing to unpickle."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from service.errors import CheckpointDamagedError

Arrays = dict[str, NDArray[Any]]


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as safetensors bytes; raises TypeError for text, objects and other types it cannot hold."""
    # safetensors takes the memory as it lies, so a transposed view would be stored with its elements in wrong order.
    dense = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    try:
        return bytes(save(dense))
    except SafetensorError as error:
        kinds = ", ".join(sorted({f"{name}: {array.dtype}" for name, array in dense.items()}))
        message = f"these arrays cannot be stored ({kinds}): {error}"
        raise TypeError(message) from None


def unpack(data: bytes, where: str) -> Arrays:
    """Return the arrays by name, writable; raises CheckpointDamagedError, naming ``where``, for anything else."""
    try:
        arrays = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        message = f"{where}: damaged, not safetensors ({error})"
        raise CheckpointDamagedError(message) from None
    return {name: arrays[name] for name in sorted(arrays)}
