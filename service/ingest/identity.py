"""A stable 64-bit hash of who an event is: the same in every process, on every machine, at every reading."""

from collections.abc import Sequence
from zlib import adler32, crc32

import numpy as np

from service.hashing import mixed
from service.records import HashArray, IntArray, Partition

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def identity_hashes(source: Partition, offsets: IntArray, ids: Sequence[str | None]) -> HashArray:
    """Return a hash [n] for each event: of its id where it has one, else of topic, partition and offset.

    Offsets are mixed as splitmix64 mixes its counter.
    """
    origin = np.array([_checksums(f"{source.topic}/{source.partition}")], dtype=np.uint64)
    hashes = mixed(mixed(origin) + offsets.astype(np.uint64) * GAMMA)
    named = [index for index, name in enumerate(ids) if name is not None]
    if named:
        sums = np.array([_checksums(name) for name in ids if name is not None], dtype=np.uint64)
        hashes[named] = mixed(sums)
    return hashes


def _checksums(text: str) -> int:
    """Return two checksums side by side: many times faster than a digest, and nobody needs one; mixing spreads them."""
    data = text.encode()
    return crc32(data) << 32 | adler32(data)
