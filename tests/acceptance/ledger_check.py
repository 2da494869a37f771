"""A checker outside of the service: what was produced, against what the service says became of it."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from service.errors import CheckpointMissingError
from service.store.checkpoints import CheckpointStore

Offsets = Collection[int]
Place = tuple[int, int]
"""A partition and an offset in it."""

DEAD = "dead_lettered"


@dataclass
class Verdict:
    """What does not add up: each list is empty when all is well."""

    lost: list[Place] = field(default_factory=list)
    twice: list[Place] = field(default_factory=list)
    invented: list[Place] = field(default_factory=list)
    misjudged: list[Place] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether all is well."""
        return not (self.lost or self.twice or self.invented or self.misjudged)


def judge(produced: Mapping[int, Offsets], bad: Mapping[int, Offsets], runs: Iterable[Mapping[str, Any]]) -> Verdict:
    """Compare offsets by partition with the runs of ``freshet ledger --json``.

    Lost: produced and without a fate. Twice: two fates. Invented: a fate, and not produced (but for offsets without a
    record). Misjudged: a ``bad`` one that is no dead letter, or a good one that is.
    """
    fates: dict[Place, list[str]] = {}
    for run in runs:
        for offset in range(run["first"], run["last"] + 1):
            fates.setdefault((run["partition"], offset), []).append(run["fate"])
    made = {(partition, offset) for partition, offsets in produced.items() for offset in offsets}
    spoilt = {(partition, offset) for partition, offsets in bad.items() for offset in offsets}
    return Verdict(
        lost=sorted(made - fates.keys()),
        twice=sorted(place for place, told in fates.items() if len(told) > 1),
        invented=sorted(place for place, told in fates.items() if place not in made and told != ["no_record"]),
        misjudged=sorted(place for place in made & fates.keys() if (DEAD in fates[place]) != (place in spoilt)),
    )


def ancestry(store_path: Path) -> list[dict[str, Any]]:
    """Return the spans of data on the ancestry of what serves, oldest first, as far back as it is kept."""
    store = CheckpointStore(store_path, 10_000)
    pointer = store.latest()
    spans: list[dict[str, Any]] = []
    current = pointer.id if pointer else None
    with suppress(CheckpointMissingError):
        while current is not None:
            manifest = store.manifest(current)
            spans = [span.model_dump() for span in manifest.data] + spans
            current = manifest.parent
    return spans


def broken_joints(spans: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return, in words, where the spans of a partition leave something out or overlap."""
    found = []
    by_partition: dict[int, list[Mapping[str, Any]]] = {}
    for span in spans:
        by_partition.setdefault(span["partition"], []).append(span)
    for partition, own in sorted(by_partition.items()):
        found += [
            f"partition {partition}: {after['first']} follows {before['last']}"
            for before, after in pairwise(own)
            if after["first"] != before["last"] + 1
        ]
    return found
