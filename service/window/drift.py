"""Data drift of numeric features: the window against the data that the champion was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.records import FloatArray

BINS = 10
FLOOR = 1e-4
"""Share given to an empty bin, so that the index stays finite; it bounds what one bin can add to about 9."""

LARGEST = 1e300
"""Beyond it numbers count as this large: between two at a double's opposite ends no quantile could be taken."""


class Reference:
    """Per feature the deciles of a champion's training data, a bin of its own for missing values, and their shares."""

    def __init__(self, edges: Mapping[str, Sequence[float]], shares: Mapping[str, Sequence[float]]) -> None:
        self._edges = {name: np.array(values, dtype=np.float64) for name, values in edges.items()}
        self._shares = {name: np.array(values, dtype=np.float64) for name, values in shares.items()}

    @classmethod
    def of(cls, names: Sequence[str], numbers: FloatArray) -> "Reference":
        """Return the reference of ``numbers`` [n, features], n >= 1; NaN is missing."""
        edges: dict[str, Sequence[float]] = {}
        shares: dict[str, Sequence[float]] = {}
        for index, name in enumerate(names):
            column = numbers[:, index]
            present = np.clip(column[~np.isnan(column)], -LARGEST, LARGEST)
            quantiles = np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]) if len(present) else np.empty(0)
            edges[name] = np.unique(quantiles).tolist()
            shares[name] = _shares(column, np.array(edges[name])).tolist()
        return cls(edges, shares)

    def psi(self, numbers: FloatArray) -> dict[str, float]:
        """Return the population stability index of each feature, in nats; empty without rows.

        It is the symmetrised Kullback-Leibler divergence over the bins: 0 for equal shares; by custom below 0.1 is
        taken for none and above 0.25 for much. On n rows it averages about (bins - 1) / n without any drift.
        """
        if not len(numbers):
            return {}
        found: dict[str, float] = {}
        for index, (name, edges) in enumerate(self._edges.items()):
            now = np.maximum(_shares(numbers[:, index], edges), FLOOR)
            then = np.maximum(self._shares[name], FLOOR)
            found[name] = float(((now - then) * np.log(now / then)).sum())
        return found

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        return {
            "edges": {name: edges.tolist() for name, edges in self._edges.items()},
            "shares": {name: shares.tolist() for name, shares in self._shares.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Reference":
        """Return the reference that ``to_json`` described."""
        return cls(value["edges"], value["shares"])


def _shares(column: FloatArray, edges: FloatArray) -> FloatArray:
    missing = np.isnan(column)
    bins = np.searchsorted(edges, column[~missing], side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, missing.sum()) / max(len(column), 1)
