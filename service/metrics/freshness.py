"""A histogram that takes in many observations at once, as weighted columns."""

from collections.abc import Iterator

import numpy as np
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.records import FloatArray, IntArray


class WeightedHistogram(Collector):
    """A Prometheus histogram without labels; ``bounds`` are ascending upper bounds, to which infinity is added."""

    def __init__(self, name: str, meaning: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds = np.array(bounds)
        self._names = [*map(str, bounds), "+Inf"]
        # One reference, so that a scrape sees the counts and the sum of the same observations.
        self._seen: tuple[IntArray, float] = (np.zeros(len(self._names), dtype=np.int64), 0.0)

    def observe(self, values: FloatArray, counts: IntArray) -> None:
        """Add each of the values [n] so many times [n]; from one thread."""
        before, total = self._seen
        added = before.copy()
        np.add.at(added, np.searchsorted(self._bounds, values, side="left"), counts)
        self._seen = added, total + float(values @ counts)

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it is now."""
        counts, total = self._seen
        family = HistogramMetricFamily(self._name, self._meaning)
        cumulative = np.cumsum(counts).astype(float).tolist()
        family.add_metric((), list(zip(self._names, cumulative, strict=True)), total)
        yield family
