"""The ledger of settled fates: an append-only log of runs beside the snapshots, which say how far it counts.

A place in it is a number of bytes since the ledger began. A segment's name tells the place where it begins and the
fencing number of the trainer that writes it; each frame is checked by its CRC. A trainer begins at the place that its
snapshot names with a segment of its own, which supersedes all that lies behind: what a trainer wrote that died before
its snapshot, or that was superseded and does not know it yet. The oldest segments go when there is more than
``max_bytes``.
"""

import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from service.errors import CheckpointDamagedError
from service.records import IntArray, Partition
from service.store.files import discard, make_folder, store_errors, sync_folder, write_all

LEDGER = "ledger"
SEGMENT_BYTES = 4 * 2**20

_NAME = re.compile(r"from-(?P<begin>[0-9]{16})\.fence-(?P<fence>[0-9]{10})\.runs")
_HEADER = struct.Struct("<4sII")  # magic, length and CRC-32 of the payload
_MAGIC = b"FRL1"
_log = structlog.get_logger(__name__)

Rows = tuple[IntArray, IntArray, IntArray, IntArray]
"""Runs as columns [n]: index of the partition, code of the fate, first offset, last offset, both included."""


class Place(NamedTuple):
    """How far a ledger counts: bytes since it began, of segments written under fencing numbers up to ``fence``."""

    end: int = 0
    fence: int = 0


class _Segment(NamedTuple):
    begin: int
    fence: int
    end: int
    file: Path


class Ledger:
    """Settled runs in a folder; the holder of the lease writes, anybody reads.

    Every method may raise StoreUnavailableError, after which it may be tried again.
    """

    def __init__(self, path: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max_bytes)
        self._place = Place()
        self._begin = 0
        self._merged: list[Path] = []

    def go_on(self, place: Place, fence: int) -> None:
        """Write behind ``place`` from now on, under a higher fencing number.

        What the last segments hold up to there is copied, as far as it fits into one: else every restart would leave
        a file. They stay until ``drop_merged``, since the snapshots of their trainers count on them.
        """
        parts: list[tuple[_Segment, bytes]] = []
        for segment in reversed(self._segments(place)):
            size = sum(len(data) for _, data in parts)
            expected = parts[-1][0].begin if parts else place.end
            if segment.end != expected or size + segment.end - segment.begin > self._segment_bytes:
                break
            data = _bytes_of(segment)
            if list(_holes(_scan(data))):
                break  # damage is not copied; it stays where `freshet ledger` names it
            parts.append((segment, data))
        for problem in self.problems(place):
            _log.warning("a part of the ledger is lost; the trainer goes on", problem=problem)
        self._begin = parts[-1][0].begin if parts else place.end
        self._place = Place(place.end, fence)
        if not parts:
            return
        self._write(0, b"".join(data for _, data in reversed(parts)))
        self._merged = [segment.file for segment, _ in parts]

    def drop_merged(self) -> None:
        """Delete what was copied, and what former trainers wrote that no longer counts.

        To be called once no snapshot is left that names a place of a former trainer.
        """
        counts = {segment.file for segment in self._segments(self._place)} - set(self._merged)
        for segment in self._files(self._place.fence):
            if segment.file not in counts and segment.fence < self._place.fence:
                discard(segment.file)
        self._merged.clear()

    def append(self, partitions: Sequence[Partition], rows: Rows) -> Place:
        """Add runs and return the place after them, durable once this returns; if it raises, nothing was added."""
        if not len(rows[0]):
            return self._place
        payload = zlib.compress(_encode(partitions, rows))
        frame = _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload
        if self._place.end - self._begin >= self._segment_bytes:
            self._begin = self._place.end
        self._write(self._place.end - self._begin, frame)
        self._place = self._place._replace(end=self._place.end + len(frame))
        self._drop_oldest()
        return self._place

    def read(self, until: Place) -> Iterator[tuple[list[Partition], Rows]]:
        """Yield the runs before a place, oldest first, as they were appended, each with its list of partitions.

        What is missing or damaged is passed over; ``problems`` names it. Raises CheckpointDamagedError for whole bytes
        that make no sense.
        """
        for segment in self._segments(until):
            for piece in _scan(_bytes_of(segment)):
                if piece.payload is not None:
                    yield _read(piece.payload, segment.file)

    def problems(self, until: Place) -> list[str]:
        """Return in words what is missing before a place, or damaged; not what went because of ``max_bytes``.

        Looks at lengths and CRCs alone, so that a trainer can ask for it at its start.
        """
        told = []
        expected = 0
        for segment in self._segments(until):
            if segment.begin > expected and (expected or until.end - segment.begin < self.max_bytes):
                told.append(f"{self.path}: bytes {expected} to {segment.begin} are missing")
            told += [f"{segment.file}: damaged, bytes {at} to {end}" for at, end in _holes(_scan(_bytes_of(segment)))]
            expected = segment.end
        if expected < until.end:
            told.append(f"{self.path}: bytes {expected} to {until.end} are missing")
        return told

    def _write(self, at: int, data: bytes) -> None:
        """Write into the segment behind ``at``, durably; what a failed try has left there goes."""
        make_folder(self.path)
        file = self.path / f"from-{self._begin:016d}.fence-{self._place.fence:010d}.runs"
        with store_errors(file):
            new = not file.exists()
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.ftruncate(handle, at)
                os.lseek(handle, at, os.SEEK_SET)
                write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            if new:
                sync_folder(self.path)

    def _drop_oldest(self) -> None:
        for segment in self._segments(self._place):
            if self._place.end - segment.end < self.max_bytes:
                break
            discard(segment.file)

    def _segments(self, until: Place) -> list[_Segment]:
        """Return what counts up to a place, by its beginning: each cut where a later trainer's begins."""
        found: list[_Segment] = []
        for segment in self._files(until.fence):
            found = [one._replace(end=min(one.end, segment.begin)) for one in found if one.begin < segment.begin]
            found.append(segment)
        return [one._replace(end=min(one.end, until.end)) for one in found if one.begin < until.end]

    def _files(self, fence: int) -> list[_Segment]:
        """Return all segments up to a fencing number, as they were begun: by trainer, then by place."""
        found = []
        with store_errors(self.path), suppress(FileNotFoundError):
            for entry in self.path.iterdir():
                match = _NAME.fullmatch(entry.name)
                if match and int(match["fence"]) <= fence:
                    begin = int(match["begin"])
                    with suppress(FileNotFoundError):  # dropped or merged since the folder was listed
                        found.append(_Segment(begin, int(match["fence"]), begin + entry.stat().st_size, entry))
        return sorted(found, key=lambda one: (one.fence, one.begin))


def _bytes_of(segment: _Segment) -> bytes:
    with store_errors(segment.file), segment.file.open("rb") as file:
        return file.read(segment.end - segment.begin)


class _Piece(NamedTuple):
    begin: int
    end: int
    payload: bytes | None


def _scan(data: bytes) -> Iterator[_Piece]:
    """Yield the frames of a segment, and in between them, without a payload, what is none."""
    at = 0
    while at < len(data):
        payload = _payload(data, at)
        end = data.find(_MAGIC, at + 1) if payload is None else at + _HEADER.size + len(payload)
        end = len(data) if end < 0 else end
        yield _Piece(at, end, payload)
        at = end


def _holes(pieces: Iterable[_Piece]) -> Iterator[tuple[int, int]]:
    return ((piece.begin, piece.end) for piece in pieces if piece.payload is None)


def _payload(data: bytes, at: int) -> bytes | None:
    """Return what the frame at a byte holds, None where there is no whole frame."""
    if len(data) - at < _HEADER.size:
        return None
    magic, length, crc = _HEADER.unpack_from(data, at)
    payload = data[at + _HEADER.size : at + _HEADER.size + length]
    return payload if magic == _MAGIC and len(payload) == length and zlib.crc32(payload) == crc else None


def _read(payload: bytes, file: Path) -> tuple[list[Partition], Rows]:
    try:
        return _decode(zlib.decompress(payload))
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        message = f"{file}: damaged, whole bytes that make no sense ({error})"
        raise CheckpointDamagedError(message) from None


def _encode(partitions: Sequence[Partition], rows: Rows) -> bytes:
    """Return runs as bytes that compress well: by partition, each run as its length and its distance to the last."""
    order = np.argsort(rows[0], kind="stable")
    source, fate, first, last = (column[order] for column in rows)
    expected = np.concatenate([[0], last[:-1] + 1])
    expected[np.concatenate([[True], source[1:] != source[:-1]])] = 0
    head = json.dumps({"partitions": partitions, "runs": len(source)}).encode() + b"\n"
    columns = (source.astype("<u2"), fate.astype("<u1"), (first - expected).astype("<i8"), (last - first).astype("<u8"))
    return head + b"".join(column.tobytes() for column in columns)


def _decode(data: bytes) -> tuple[list[Partition], Rows]:
    head, _, body = data.partition(b"\n")
    told = json.loads(head)
    count, at = told["runs"], 0
    columns: list[NDArray[np.int64]] = []
    for kind in ("<u2", "<u1", "<i8", "<u8"):
        columns.append(np.frombuffer(body, kind, count, at).astype(np.int64))
        at += np.dtype(kind).itemsize * count
    source, fate, skip, length = columns
    if count and source.max() >= len(told["partitions"]):
        message = "a run of no known partition"
        raise ValueError(message)
    first = np.empty(count, dtype=np.int64)
    for index in np.unique(source):
        rows = source == index
        first[rows] = np.cumsum(skip[rows] + np.concatenate([[0], length[rows][:-1] + 1]))
    return [Partition(topic, number) for topic, number in told["partitions"]], (source, fate, first, first + length)
