"""The vocabulary that all stages share: records as polled, examples as columns, scores of models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
HashArray = NDArray[np.uint64]

Header = tuple[str, bytes]


class Partition(NamedTuple):
    """One partition of one topic; the embedded log has partition 0 only."""

    topic: str
    partition: int


Positions = Mapping[Partition, int]
"""For each partition the offset of the next record to read."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, as polled: raw bytes in columns.

    ``offsets`` [n] int64 ascending (gaps are possible); ``timestamps_ms`` [n] int64, the log's own time of each
    record, -1 if it has none; ``values``, ``keys`` and ``headers`` have n entries each; a value of None is a tombstone.
    """

    source: Partition
    offsets: IntArray
    timestamps_ms: IntArray
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    headers: Sequence[Sequence[Header]]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One record that did not fit: ``index`` in its batch, ``reason`` from REFUSAL_REASONS, ``detail`` for a human."""

    index: int
    reason: str
    detail: str


REFUSAL_REASONS = (
    "too_large",
    "tombstone",
    "not_utf8",
    "not_json",
    "not_object",
    "missing_feature",
    "unknown_feature",
    "wrong_type",
    "not_finite",
    "missing_label",
    "unknown_label",
    "bad_timestamp",
)
"""Every reason of refusal, in the order in which they are looked for: the first match is the one reported."""


FATES = ("learnable", "held_out", "dead_lettered", "rolled_back", "evicted_unlearnt", "no_record")
"""What can become of an offset. ``evicted_unlearnt``: it left the window before any round had trained on it;
``no_record``: the log holds a transaction's marker there, or nothing after compaction. An offset that the log deleted
before it was read has no fate."""

REWOUND = len(FATES)
"""Among runs not a fate, but a note: these offsets were read once, and the log gives them to other records now."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled events as columns, n rows.

    ``numbers`` [n, width] float64: numeric, boolean (0 and 1), then the elements of vectors, NaN where missing;
    ``codes`` [n, categorical] int64 from the vocabulary (0 missing, 1 unknown); ``targets`` [n] float64, the label's
    index or the regression value; ``timestamps_ms`` [n] int64; ``keys`` [n] uint64, a stable hash of the identity.
    """

    numbers: FloatArray
    codes: IntArray
    targets: FloatArray
    timestamps_ms: IntArray
    keys: HashArray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: IntArray | BoolArray | slice) -> Self:
        """Return the chosen rows, in that order."""
        return type(self)(
            self.numbers[rows], self.codes[rows], self.targets[rows], self.timestamps_ms[rows], self.keys[rows]
        )

    @classmethod
    def empty(cls, numbers: int, codes: int, rows: int = 0) -> Self:
        """Return ``rows`` zeroed rows with the given widths."""
        return cls(
            numbers=np.zeros((rows, numbers)),
            codes=np.zeros((rows, codes), dtype=np.int64),
            targets=np.zeros(rows),
            timestamps_ms=np.zeros(rows, dtype=np.int64),
            keys=np.zeros(rows, dtype=np.uint64),
        )

    @classmethod
    def concatenate(cls, parts: Iterable["Examples"]) -> Self:
        """Return all rows of at least one part, in order."""
        whole = list(parts)
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in whole]) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class Scores:
    """How well one model predicted n events before learning any of them.

    ``losses`` [n] float64: log-loss in nats, or squared error in squared label units; ``errors`` [n] float64: 1 for a
    wrong label and 0 for a right one, or the absolute error in label units; ``predicted`` [n] float64: the index of
    the likeliest label, or the value, None where only the scores were kept.
    """

    losses: FloatArray
    errors: FloatArray
    predicted: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.losses)

    def take(self, rows: IntArray | BoolArray | slice) -> "Scores":
        """Return the chosen rows, in that order."""
        predicted = None if self.predicted is None else self.predicted[rows]
        return Scores(self.losses[rows], self.errors[rows], predicted)
