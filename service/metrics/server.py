# ruff: noqa: D102 - the hooks are documented in Observer
"""The server's metrics."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.metrics.freshness import WeightedHistogram
from service.metrics.prometheus import PrometheusObserver, each
from service.observer import SHADOW_DROPS, SWAP_OUTCOMES
from service.records import FloatArray, IntArray

REQUEST_BUCKETS = (
    *(0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.006, 0.0075, 0.01, 0.015, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Close together where small models answer, so that a quantile read off them is worth something."""

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096, 16_384)


FRESHNESS_BUCKETS = (
    *(0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0),
)


class ServerObserver(PrometheusObserver):
    """The server's metrics.

    ``answers`` are the (route, status) pairs that are known to occur, ``shadows`` the candidates of `serve.shadow`.
    ``labelled`` tells that answers are labels, which can be the same or not: there are none in a regression.
    """

    def __init__(
        self, *, answers: Iterable[tuple[str, int]] = (), shadows: Sequence[str] = (), labelled: bool = True
    ) -> None:
        super().__init__("server")
        self._checkpoint = _ServedCheckpoint()
        self.registry.register(self._checkpoint)
        self._swaps = self._counter(
            "freshet_swaps",
            "Attempts to take over a new checkpoint, by how they ended; good: all swapped.",
            "outcome",
            known=each(SWAP_OUTCOMES),
        )
        self._published = self._gauge(
            "freshet_checkpoint_published",
            "1 once the store names a checkpoint to serve, 0 while there was none; NaN before the first look.",
        )
        self._published.set(math.nan)
        self._freshness = WeightedHistogram(
            "freshet_event_to_served_seconds",
            "From a learnable event's time to the first checkpoint trained on it, or later, that answered;"
            " good: the time of a few rounds.",
            FRESHNESS_BUCKETS,
        )
        self.registry.register(self._freshness)
        self._pinned = self._gauge(
            "freshet_pinned",
            "1 while a pin holds the server at a checkpoint, else 0; good: 0, but for as long as somebody wants it.",
        )
        self._requests = self._histogram(
            "freshet_request_duration_seconds",
            "Time from a request's arrival to the end of its answer; good: predictions in milliseconds, no status 5xx.",
            "route",
            "status",
            buckets=REQUEST_BUCKETS,
            known=[(route, str(status)) for route, status in answers],
        )
        self._timed: dict[tuple[str, int], Histogram] = {}
        self._batches = self._histogram(
            "freshet_batch_instances",
            "Instances that one forward pass answered; good: more than 1 under load.",
            buckets=BATCH_BUCKETS,
        )
        self._shadowed = self._counter(
            "freshet_shadow_instances",
            "Instances that a shadow was asked beside what serves; good: it rises with the traffic.",
            "candidate",
            known=each(shadows),
        )
        self._shadow_agreed = self._counter(
            "freshet_shadow_agreed",
            "Instances for which a shadow says the label that was answered; good: nearly all, or as few as you expect.",
            "candidate",
            known=each(shadows if labelled else ()),
        )
        self._shadow_difference = self._counter(
            "freshet_shadow_score_difference",
            "Sum over instances of how far a shadow's scores are from those answered: 0 to 1 each, or label units.",
            "candidate",
            known=each(shadows),
        )
        self._shadow_dropped = self._counter(
            "freshet_shadow_dropped",
            "Instances sampled for a shadow and not compared; good: few of those that were.",
            "candidate",
            "reason",
            known=[(name, reason) for name in shadows for reason in SHADOW_DROPS],
        )
        self._open = 0  # counted by the event loop's thread alone, which needs no lock for it
        in_flight = self._gauge(
            "freshet_requests_in_flight",
            "Requests being answered, this scrape included; good: far below serve.max_in_flight.",
        )
        in_flight.set_function(lambda: self._open)

    def serving(self, checkpoint_id: str, created_seconds: float, trained_until_seconds: float) -> None:
        self._checkpoint.current = _Served(checkpoint_id, created_seconds, trained_until_seconds)

    def events_served(self, ages_seconds: FloatArray, counts: IntArray) -> None:
        self._freshness.observe(ages_seconds, counts)

    def published(self, *, is_published: bool) -> None:
        self._published.set(is_published)

    def swapped(self, outcome: str) -> None:
        self._swaps.labels(outcome).inc()

    def pinned(self, *, is_pinned: bool) -> None:
        self._pinned.set(is_pinned)

    def batched(self, instances: int) -> None:
        self._batches.observe(instances)

    def shadowed(self, candidate: str, instances: int, agreed: int | None, difference: float) -> None:
        self._shadowed.labels(candidate).inc(instances)
        self._shadow_difference.labels(candidate).inc(difference)
        if agreed is not None:
            self._shadow_agreed.labels(candidate).inc(agreed)

    def shadow_dropped(self, candidate: str, reason: str, instances: int) -> None:
        self._shadow_dropped.labels(candidate, reason).inc(instances)

    def request_began(self) -> None:
        self._open += 1

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        self._open -= 1
        timed = self._timed.get((route, status))
        if timed is None:  # the library's own look is slower
            timed = self._timed[route, status] = self._requests.labels(route, status)
        timed.observe(seconds)


class _Served(NamedTuple):
    checkpoint_id: str
    created_seconds: float
    trained_until_seconds: float


class _ServedCheckpoint(Collector):
    """Three gauges of one checkpoint, read together: no scrape sees two ids, or one's id with another's times."""

    def __init__(self) -> None:
        self.current: _Served | None = None

    def collect(self) -> Iterator[Metric]:
        served = self.current
        info = GaugeMetricFamily(
            "freshet_checkpoint_info",
            "1 for the checkpoint that answers; good: the same id on every server.",
            labels=("id",),
        )
        created = GaugeMetricFamily(
            "freshet_checkpoint_timestamp_seconds",
            "When the serving checkpoint was made; good: within the last rounds, while events arrive.",
        )
        until = GaugeMetricFamily(
            "freshet_trained_until_timestamp_seconds",
            "The time of the newest event that the serving checkpoint was trained on; good: a few rounds old.",
        )
        if served is not None:
            info.add_metric((served.checkpoint_id,), 1)
            created.add_metric((), served.created_seconds)
            until.add_metric((), served.trained_until_seconds)
        yield from (info, created, until)
