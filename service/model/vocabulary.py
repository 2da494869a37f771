"""Text becomes numbers: categories and labels, in order of first appearance, never renumbered.

A checkpoint keeps the vocabulary of its time. Since codes are only ever appended, an older checkpoint reads newer
codes as the unknown bucket.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from service.records import IntArray
from service.settings import BINARY_CLASSES, Settings

MISSING = 0
UNKNOWN = 1
FIRST_CODE = 2


class Categories:
    """One code per value of each categorical feature; beyond ``capacity`` values share the unknown bucket."""

    def __init__(self, features: Sequence[str], capacity: int) -> None:
        self.capacity = capacity
        self._codes: dict[str, dict[str, int]] = {name: {} for name in features}

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each feature uses, the two reserved ones included."""
        return tuple(len(codes) + FIRST_CODE for codes in self._codes.values())

    def encode(self, columns: Sequence[Iterable[str | None]], *, grow: bool, rows: int) -> IntArray:
        """Return codes [rows, features]; with ``grow`` new values get codes of their own while there is room."""
        out = np.empty((rows, len(columns)), dtype=np.int64)
        for index, (codes, column) in enumerate(zip(self._codes.values(), columns, strict=True)):
            if grow and len(codes) < self.capacity:
                for value in dict.fromkeys(column):
                    if value is not None and value not in codes and len(codes) < self.capacity:
                        codes[value] = len(codes) + FIRST_CODE
            get = codes.get
            out[:, index] = [MISSING if value is None else get(value, UNKNOWN) for value in column]
        return out

    def known(self, feature: str, value: str) -> bool:
        """Tell whether a value has a code of its own."""
        return value in self._codes[feature]

    def to_json(self) -> dict[str, list[str]]:
        """Return each feature's values in code order."""
        return {name: list(codes) for name, codes in self._codes.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Sequence[str]], capacity: int) -> Self:
        """Return the categories that ``to_json`` described."""
        made = cls(tuple(values), capacity)
        for name, known in values.items():
            made._codes[name] = {value: index + FIRST_CODE for index, value in enumerate(known)}
        return made


class Labels:
    """The labels of a classification; open to new ones until they are fixed. Empty for a regression."""

    def __init__(self, known: Iterable[str], capacity: int, *, fixed: bool) -> None:
        self.capacity = capacity
        self.fixed = fixed
        self._index = {label: index for index, label in enumerate(known)}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the configured labels, fixed, or an open set if none are configured."""
        known = settings.schema_.labels
        capacity = {"binary": BINARY_CLASSES, "regression": 0}.get(settings.task, 10_000)
        return cls(known, capacity, fixed=bool(known) or settings.task == "regression")

    def __len__(self) -> int:
        return len(self._index)

    @property
    def names(self) -> tuple[str, ...]:
        """All labels, by index."""
        return tuple(self._index)

    def index(self, label: str) -> int | None:
        """Return a label's index, None if it is unknown and the set is fixed or full; an open set takes it in."""
        found = self._index.get(label)
        if found is None and not self.fixed and len(self._index) < self.capacity:
            found = self._index[label] = len(self._index)
        return found

    def fix(self) -> None:
        """Close the set: from now on a new label is unknown."""
        self.fixed = True

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs."""
        return {"names": list(self.names), "capacity": self.capacity, "fixed": self.fixed}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the labels that ``to_json`` described."""
        return cls(value["names"], value["capacity"], fixed=value["fixed"])
