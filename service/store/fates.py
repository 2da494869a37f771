"""What became of every offset, put together from the newest snapshot and the ledger that it names."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import CheckpointMissingError, StoreUnavailableError
from service.records import FATES, REWOUND, Partition
from service.store.ledger import LEDGER, Ledger, Place, Rows
from service.store.snapshot import SNAPSHOTS, SnapshotStore

TRIES = 5
COLUMNS = ("sources", "fates", "first", "last")


class Run(NamedTuple):
    """Consecutive offsets of a partition with one fate, both ends included."""

    first: int
    last: int
    fate: str


@dataclass(frozen=True)
class Fates:
    """The runs of each partition in order of offset, and the offset up to which each was read (excluded).

    ``problems`` tell which parts of the ledger are missing or damaged.
    """

    runs: dict[Partition, list[Run]]
    positions: dict[Partition, int]
    problems: list[str] = field(default_factory=list)

    def events(self) -> dict[str, int]:
        """Return how many offsets had each fate."""
        found = Counter[str]()
        for runs in self.runs.values():
            for run in runs:
                found[run.fate] += run.last - run.first + 1
        return {fate: found[fate] for fate in FATES}

    def without_fate(self) -> Iterator[tuple[Partition, int, int]]:
        """Yield the offsets, both ends included, that lie between the first run and the position and have no fate."""
        for source, runs in self.runs.items():
            expected = runs[0].first if runs else 0
            for run in [*runs, Run(self.positions.get(source, 0), -1, "")]:
                if run.first > expected:
                    yield source, expected, run.first - 1
                expected = max(expected, run.last + 1)

    def twice(self) -> Iterator[tuple[Partition, int, int]]:
        """Yield the offsets, both ends included, that have more than one fate."""
        for source, runs in self.runs.items():
            for before, after in pairwise(runs):
                if after.first <= before.last:
                    yield source, after.first, min(before.last, after.last)


def read_fates(state_path: Path, ledger_bytes: int = 2**40) -> Fates | None:
    """Return what the newest whole snapshot knows, None if there is none yet.

    ``ledger_bytes`` is how much of the ledger is kept: what went because of it is no problem. A trainer may be at work
    meanwhile. Raises CheckpointDamagedError without a whole snapshot, and StoreError for a newer format.
    """
    for left in reversed(range(TRIES)):
        try:
            return _read(state_path, ledger_bytes)
        except (CheckpointMissingError, StoreUnavailableError):
            # The trainer has saved newer snapshots since the folder was listed, or dropped a part of the ledger.
            if not left:
                raise
    return None


def _read(state_path: Path, ledger_bytes: int) -> Fates | None:
    saved = SnapshotStore(state_path / SNAPSHOTS, {}).load(of_any=True)
    if saved is None:
        return None
    arrays, meta = saved
    found: dict[Partition, list[Run]] = {}
    positions = {Partition(topic, number): offset for topic, number, offset in meta["positions"]}
    if "ledger" not in meta:  # saved before there was one
        return Fates({}, positions)
    ledger, place = Ledger(state_path / LEDGER, ledger_bytes), Place(*meta["ledger"])
    for partitions, rows in ledger.read(place):
        _add(found, partitions, rows)
    open_rows: Any = tuple(arrays[f"fates/{name}"] for name in COLUMNS)
    _add(found, [Partition(topic, number) for topic, number in meta["fates"]["partitions"]], open_rows)
    runs = {source: _joined(sorted(found[source])) for source in sorted(found)}
    return Fates(runs, positions, ledger.problems(place))


def _add(found: dict[Partition, list[Run]], partitions: list[Partition], rows: Rows) -> None:
    for index, fate, first, last in zip(*(column.tolist() for column in rows), strict=True):
        if index < 0:  # its offset belongs to another record by now
            continue
        runs = found.setdefault(partitions[index], [])
        if fate == REWOUND:
            runs[:] = [run._replace(last=min(run.last, first - 1)) for run in runs if run.first < first]
        else:
            runs.append(Run(first, last, FATES[fate]))


def _joined(runs: list[Run]) -> list[Run]:
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].fate == run.fate and joined[-1].last + 1 == run.first:
            joined[-1] = joined[-1]._replace(last=run.last)
        else:
            joined.append(run)
    return joined
