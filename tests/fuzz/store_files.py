"""Fuzzes the readers of the store's and the state's files: whatever lies there, a reader answers or says what is wrong.

Half of the inputs are damaged bytes, which no reader of a sealed file may take. The others are well sealed, so that
they pass the digest, and hold values that make no sense: those of another version, or of somebody who means harm.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from structlog.testing import capture_logs

from service.errors import StoreError
from service.store.canonical import DIGEST, seal, sha256
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.journal import Journal
from service.store.lease import Lease
from service.store.manifest import DataRange, Manifest
from service.store.pointer import move_pointer, read_pointer
from service.store.processes import ProcessMark
from service.store.sealed import FILES, MANIFEST
from service.store.snapshot import SnapshotStore
from service.store.status import read_status, write_status
from tests.fuzz.mutations import EDGES

BLOCK = 500
ID = "000042-3f9a1c2b"
ELSEWHERE = ProcessMark(host="elsewhere", machine="0" * 16, pid=7, started=1)
IDENTITY = {"task": "binary", "numeric": ["a", "b"]}

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**30, -(10**30), 0.5, -1e308, 1e308, "", "x", ID, "../../etc/passwd", "a/b"),
    *("\x00", "a\x00b", "\ud800", "\u00fc", "." * 300, "manifest.json", "2026-01-31T09:30:00.250Z", "9999-99-99Z", "Z"),
    *([], {}, [None], [[]], {"": None}, {"size": 0, "sha256": ""}, [1, "x", {}], {"size": None, "sha256": {}}),
)
NAMES = (
    "",
    "x",
    "id",
    "format_version",
    "files",
    "identity",
    "fence",
    "pid",
    "a/b",
    "..",
    "a\x00b",
    "\ud800",
    "n" * 300,
)


class FileFuzzError(Exception):
    """What should not have happened, which ``reader`` was at work, and what the file held."""

    def __init__(self, problem: str, reader: str, data: bytes) -> None:
        super().__init__(f"{reader}: {problem}")
        self.reader = reader
        self.data = data


@dataclass(frozen=True, slots=True)
class Target:
    """One file, how it is read, whether it is sealed, and the manifest that vouches for it, if one does."""

    name: str
    path: Path
    read: Callable[[], object]
    sealed: bool = False
    vouched_by: Path | None = None


def targets(place: Path) -> list[Target]:
    """Write a small store and state, and return all that is read of them."""
    store = CheckpointStore(place / "store", keep=3)
    store.write(_checkpoint())
    move_pointer(store.path, ID, reason="better", by="trainer")
    write_status(store.path, {"state": "learning", "events": 7})
    lease = Lease(store.path, "one", 10.0, process=ELSEWHERE)
    lease.try_acquire()
    journal = Journal(store.path / "decisions.jsonl")
    for number in range(5):
        journal.append({"n": number, "reason": "forward_better"})
    snapshots = SnapshotStore(place / "state", IDENTITY)
    snapshots.save({"window": np.arange(6.0), "empty": np.empty((0, 2))}, {"number": 1, "loss": float("nan")})
    checkpoint, snapshot = store.path / "checkpoints" / ID, place / "state" / "0000000001"

    def claim() -> None:
        other = Lease(store.path, "two", 10.0, process=ELSEWHERE)
        other.holder()
        other.try_acquire()
        other.check()

    def follow() -> None:
        journal.tail(3)
        journal.read_since(10)

    return [
        Target("checkpoint manifest", checkpoint / MANIFEST, lambda: store.manifest(ID), sealed=True),
        Target("checkpoint", checkpoint / MANIFEST, lambda: store.read(ID), sealed=True),
        Target("listing", checkpoint / MANIFEST, store.entries),
        Target(
            "encoder",
            checkpoint / "encoder.json",
            lambda: store.read(ID),
            sealed=True,
            vouched_by=checkpoint / MANIFEST,
        ),
        Target(
            "weights",
            checkpoint / "model.safetensors",
            lambda: store.read(ID),
            sealed=True,
            vouched_by=checkpoint / MANIFEST,
        ),
        Target("pointer", store.path / "latest", lambda: read_pointer(store.path), sealed=True),
        Target("lease", store.path / "lease.json", claim),
        Target("status", store.path / "status.json", lambda: read_status(store.path)),
        Target("journal", journal.path, follow),
        Target("snapshot manifest", snapshot / MANIFEST, snapshots.load, sealed=True),
        Target("snapshot meta", snapshot / "meta.json", snapshots.load, sealed=True, vouched_by=snapshot / MANIFEST),
        Target(
            "snapshot arrays",
            snapshot / "arrays.safetensors",
            snapshots.load,
            sealed=True,
            vouched_by=snapshot / MANIFEST,
        ),
    ]


def fuzz_files(files: int, seed: int, place: Path) -> Iterator[Counter[str]]:
    """Read so many damaged files, and yield after each block how often each reader gave which answer.

    Raises FileFuzzError for an answer that is no StoreError, and for damaged bytes that were taken.
    """
    answers: Counter[str] = Counter()
    random = Random(seed)  # noqa: S311 - nothing secret
    known = targets(place)
    originals = {target.path: target.path.read_bytes() for target in known}
    for start in range(0, files, BLOCK):
        with capture_logs():
            for _ in range(min(BLOCK, files - start)):
                target = random.choice(known)
                answers[f"{target.name}: {_try(target, originals, random)}"] += 1
        yield answers


def _try(target: Target, originals: dict[Path, bytes], random: Random) -> str:
    """Put a mutant in place, read it, and put the original back; return the answer in a word."""
    original = originals[target.path]
    genuine = random.random() < 0.5
    data = _senseless(target, original, random) if genuine else _damaged(original, random)
    target.path.write_bytes(data)
    if genuine and target.vouched_by is not None:
        manifest = json.loads(originals[target.vouched_by])
        manifest.pop(DIGEST)
        manifest[FILES][target.path.name] = {"size": len(data), "sha256": sha256(data)}
        target.vouched_by.write_bytes(seal(manifest))
    try:
        target.read()
    except StoreError as error:
        answer = type(error).__name__
    except Exception as error:
        raise FileFuzzError(f"{type(error).__name__}: {error}", target.name, data) from error
    else:
        answer = "taken"
        if target.sealed and not genuine and data != original:
            raise FileFuzzError("damaged bytes were taken", target.name, data)
    target.path.write_bytes(original)
    if target.vouched_by is not None:
        target.vouched_by.write_bytes(originals[target.vouched_by])
    return answer


def _damaged(data: bytes, random: Random) -> bytes:
    """Flip, cut, extend, repeat or overwrite some bytes, or take others altogether."""
    at, length = random.randrange(len(data)), random.randrange(1, 9)
    return random.choice(
        (
            data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :],
            data[:at],
            data[:at] + random.randbytes(length) + data[at:],
            data[:at] + random.choice(EDGES) + data[at + length :],
            data[:at] + data[random.randrange(len(data)) :],
            random.choice((b"[" * 50_000, b'{"a":' * 20_000, b"", b"null", b"\x00" * 64, b"9" * 5_000, b'"' + data)),
            random.randbytes(random.randrange(200)),
        )
    )


def _senseless(target: Target, original: bytes, random: Random) -> bytes:
    """Change values, names and shapes of the file's JSON, and seal it again if it was sealed."""
    if target.path.suffix == ".safetensors" or (target.vouched_by is not None and random.random() < 0.3):
        return _damaged(original, random)
    if target.path.suffix == ".jsonl":
        lines = [json.dumps(_changed(json.loads(line), random)) for line in original.splitlines()]
        return "\n".join(lines).encode() + b"\n"
    values = json.loads(original)
    resealed = values.pop(DIGEST, None) is not None
    for _ in range(random.choice((1, 1, 2, 3))):
        values = _changed(values, random)
    if not resealed:
        return json.dumps(values).encode()
    return seal({name: value for name, value in values.items() if name != DIGEST} if isinstance(values, dict) else {})


def _changed(value: Any, random: Random) -> Any:
    """Return the value with one part of it changed, somewhere."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice([*value])
        changed = {**value, name: _changed(value[name], random)}
        without = {key: entry for key, entry in value.items() if key != name}
        other = random.choice(NAMES)
        return random.choice(
            (*[changed] * 5, without, {**without, other: value[name]}, {**value, other: random.choice(VALUES)})
        )
    if isinstance(value, list) and value and random.random() < 0.7:
        index = random.randrange(len(value))
        return [*value[:index], _changed(value[index], random), *value[index + 1 :]]
    if random.random() < 0.05:
        deep: Any = 1
        for _ in range(random.choice((50, 150, 250, 350))):
            deep = [deep] if random.random() < 0.5 else {"a": deep}
        return deep
    return random.choice(VALUES)


def _checkpoint() -> Checkpoint:
    manifest = Manifest(
        id=ID,
        round=42,
        parent="000041-00000000",
        lineage="000001-00000000",
        created_at="2026-01-31T09:30:00.250Z",
        trained_until="2026-01-31T09:29:00.250Z",
        trigger="new_events",
        data=(DataRange(topic="events", partition=0, first=10, last=99),),
        hyperparameters={"steps": 60, "rates": [0.5, 1]},
        gate={"decision": "promote", "main": {"forward_events": 200}},
        schema_fingerprint="a" * 16,
        model_fingerprint="b" * 16,
        versions={"torch": "2"},
        fence=3,
    )
    tensors = {"layer.weight": np.full((3, 4), 0.5, dtype=np.float32), "layer.bias": np.zeros(4)}
    return Checkpoint(
        manifest, tensors, {"mean": [0.5, float("nan")], "labels": ["\u00e9"], "network": {"hidden": [8]}}
    )
