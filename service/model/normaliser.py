"""Running mean and scale of columns, by which networks see numbers of about unit size."""

from collections.abc import Mapping
from typing import Self

import numpy as np

from service.records import FloatArray

MEMORY_EVENTS = 100_000
"""From this many events on, old ones fade: statistics follow a drifting stream, yet move slowly under a network."""

SURE_EVENTS = 100
"""From this many values on, the scale of a column is known well enough to tell an outlier."""

REACH = 10.0
"""An outlier counts as so many deviations from the mean: one sentinel must not blow a scale up for good, while a
column that really grew keeps pushing and is followed within some batches."""

_LARGEST = 1e100
"""Beyond it a square would overflow; a value this far out says nothing about scale."""


class Normaliser:
    """Mean and standard deviation of ``columns`` columns, NaN left out, merged batch by batch.

    The merge is the pairwise update of Chan, Golub & LeVeque (1979); capping the count turns it into an exponential
    average over the last MEMORY_EVENTS events.
    """

    def __init__(self, columns: int) -> None:
        self.counts: FloatArray = np.zeros(columns)
        self.means: FloatArray = np.zeros(columns)
        self.variances: FloatArray = np.zeros(columns)

    def update(self, values: FloatArray) -> None:
        """Take in ``values`` [n, columns]."""
        if not len(values):
            return
        present = np.isfinite(values) & (np.abs(values) < _LARGEST)
        sure = self.counts >= SURE_EVENTS
        reach = np.where(sure, REACH * self.scales, np.inf)
        values = np.clip(values, self.means - reach, self.means + reach)
        new = present.sum(axis=0).astype(np.float64)
        divisor = np.maximum(new, 1.0)
        kept = np.where(present, values, 0.0)
        means = kept.sum(axis=0) / divisor
        variances = np.where(present, (kept - means) ** 2, 0.0).sum(axis=0) / divisor
        total = np.maximum(self.counts + new, 1.0)
        share = new / total
        apart = means - self.means
        self.means = self.means + apart * share
        self.variances = self.variances * (1 - share) + variances * share + apart**2 * share * (1 - share)
        self.counts = np.minimum(self.counts + new, MEMORY_EVENTS)

    @property
    def scales(self) -> FloatArray:
        """Standard deviations, 1 where a column never varied."""
        deviations = np.sqrt(self.variances)
        return np.where(deviations > np.maximum(np.abs(self.means), 1.0) * 1e-9, deviations, 1.0)

    def to_arrays(self) -> dict[str, FloatArray]:
        """Return what ``from_arrays`` needs."""
        return {"counts": self.counts.copy(), "means": self.means.copy(), "variances": self.variances.copy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> Self:
        """Return the normaliser that ``to_arrays`` described."""
        made = cls(len(arrays["counts"]))
        made.counts, made.means, made.variances = (
            np.array(arrays[name], dtype=np.float64) for name in ("counts", "means", "variances")
        )
        return made
