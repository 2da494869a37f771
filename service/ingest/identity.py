"""A stable 64-bit hash of who an event is: the same in every process, on every machine, at every reading."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from service.hashing import mixed
from service.records import HashArray, IntArray, Partition

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def identity_hashes(source: Partition, offsets: IntArray, ids: Sequence[str | None]) -> HashArray:
    """Return a hash [n] for each event: of its id where it has one, else of topic, partition and offset.

    Offsets are mixed as splitmix64 mixes its counter.
    """
    origin = np.frombuffer(_digest(f"{source.topic}/{source.partition}"), dtype="<u8")
    hashes = mixed(origin + offsets.astype(np.uint64) * GAMMA)
    named = [index for index, name in enumerate(ids) if name is not None]
    if named:
        digests = b"".join([_digest(name) for name in ids if name is not None])
        hashes[named] = np.frombuffer(digests, dtype="<u8")
    return hashes


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
