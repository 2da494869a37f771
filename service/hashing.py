"""Choices by a hash of an event's identity, never by chance at run time: the same event is always chosen alike."""

import numpy as np

from service.records import BoolArray, HashArray

HOLDOUT_SALT = 0x9E3779B97F4A7C15
"""Which events no model is ever trained on."""

STOPPING_SALT = 0x5851F42D4C957F2D
"""Which events of its window a round keeps from its steps, to stop early by."""


def mixed(keys: HashArray) -> HashArray:
    """Return keys [n] with every bit stirred into every other: splitmix64's finaliser (Steele, Lea & Flood 2014)."""
    stirred = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    stirred = (stirred ^ (stirred >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    stirred ^= stirred >> np.uint64(31)
    return stirred


def chosen(keys: HashArray, share: float, salt: int) -> BoolArray:
    """Return for each key [n] whether it falls into a share of all keys; another salt, an independent choice."""
    # 53 bits fill a double exactly, so the share is met without rounding at its edge.
    return (mixed(keys ^ np.uint64(salt)) >> np.uint64(11)).astype(np.float64) < share * 2.0**53
