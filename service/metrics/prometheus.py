# ruff: noqa: D102 - the hooks are documented in Observer
"""What the observers of both roles share: a registry, how a metric begins, and the count of what was refused."""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from service.observer import DEAD_LETTER_OUTCOMES, Observer
from service.records import REFUSAL_REASONS

Buckets = tuple[float, ...]
Known = Iterable[tuple[str, ...]]
"""Label values that exist from the start, a tuple a series."""

Metric = TypeVar("Metric", Counter, Histogram)


class PrometheusObserver(Observer):
    """An observer with a registry of its own, in which the process describes itself too (``process_*``).

    ``role`` is ``trainer`` or ``server``.
    """

    def __init__(self, role: str) -> None:
        # The library's own `_created` gauges carry no unit and double the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # No record is refused by both: what the server refuses never comes into the topic.
        self._refused = self._counter(
            "freshet_events_rejected",
            "Records that did not fit the schema, by what was wrong first; good: none, or a small and steady share.",
            "reason",
            known=each(REFUSAL_REASONS),
        )
        self._dead_letters = self._counter(
            "freshet_dead_letters",
            "Refused records sent to the topic of dead letters, or failed to be; good: none failed.",
            "outcome",
            known=each(DEAD_LETTER_OUTCOMES),
        )
        self._ready = self._gauge(
            "freshet_ready",
            "1 while /readyz says that the process is ready, else 0; good: 1, but for a trainer that stands by.",
            "role",
        ).labels(role)
        self._store = self._gauge(
            "freshet_store_last_reached_timestamp_seconds",
            "When the store last answered, at first when the process began; good: a few seconds ago.",
        )
        self._store.set_to_current_time()

    def watch_readiness(self, check: Callable[[], str | None]) -> None:
        """Export what ``check`` says at each scrape: None while the process is ready, else why it is not."""
        self._ready.set_function(lambda: float(check() is None))

    def refused(self, reason: str, events: int) -> None:
        self._refused.labels(reason).inc(events)

    def dead_lettered(self, outcome: str, events: int) -> None:
        self._dead_letters.labels(outcome).inc(events)

    def store_reached(self) -> None:
        self._store.set_to_current_time()

    def _counter(self, name: str, meaning: str, *labels: str, known: Known = ()) -> Counter:
        return _begun(Counter(name, meaning, labels, registry=self.registry), known)

    def _gauge(self, name: str, meaning: str, *labels: str, known: Known = ()) -> Gauge:
        gauge = Gauge(name, meaning, labels, registry=self.registry)
        for values in known:
            gauge.labels(*values).set(math.nan)
        return gauge

    def _histogram(self, name: str, meaning: str, *labels: str, buckets: Buckets, known: Known = ()) -> Histogram:
        return _begun(Histogram(name, meaning, labels, registry=self.registry, buckets=buckets), known)


def each(values: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the known values of a metric with one label."""
    return [(value,) for value in values]


def _begun(metric: Metric, known: Known) -> Metric:
    for values in known:
        metric.labels(*values)
    return metric
