# ruff: noqa: D102 - the hooks are documented in Observer
"""The trainer's metrics of what it takes in and holds."""

from service.metrics.prometheus import PrometheusObserver, each
from service.observer import HOLD_REASONS

POLL_GAP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IntakeMetrics(PrometheusObserver):
    """The part of the trainer's metrics that tells how the stream is read, and where its events are."""

    def __init__(self) -> None:
        super().__init__("trainer")
        source = ("topic", "partition")
        self._consumed = self._counter(
            "freshet_events_consumed",
            "Records read from a partition, accepted and refused; good: it rises as fast as producers write.",
            *source,
        )
        self._gone = self._counter(
            "freshet_positions_gone_events", "Records that the log deleted before they were read; good: 0.", *source
        )
        self._lag = self._gauge(
            "freshet_consumer_lag_events", "Records that wait to be read; good: near 0, or falling.", *source
        )
        self._progress = self._gauge(
            "freshet_partition_last_progress_timestamp_seconds",
            "When a partition was last read, or seen to have nothing to read; good: a few seconds ago.",
            *source,
        )
        self._unlearnt = self._counter(
            "freshet_events_evicted_unlearnt",
            "Events that left the window before any round trained on them; good: few of those consumed.",
        )
        self._poll_gap = self._histogram(
            "freshet_poll_gap_seconds",
            "Time between two polls of the source; good: below a second, also while a round is trained.",
            buckets=POLL_GAP_BUCKETS,
        )
        self._held_back = self._counter(
            "freshet_intake_held_back_seconds",
            "Time in which nothing was taken in because what comes behind could not keep up; good: 0.",
            "reason",
            known=each(HOLD_REASONS),
        )
        self._window = self._gauge(
            "freshet_window_events",
            "Events in the window, the newest that may be trained on; good: at window.events once so many have come.",
        )
        self._replay = self._gauge(
            "freshet_replay_events",
            "Older events kept in the replay memory; good: at window.replay_events after a while.",
        )
        self._heldout = self._gauge(
            "freshet_heldout_events",
            "Events held out from training for the gate to judge by; good: gate.min_recent_events at least.",
        )

    def consumed(self, topic: str, partition: int, events: int) -> None:
        self._consumed.labels(topic, partition).inc(events)

    def positions_gone(self, topic: str, partition: int, events: int) -> None:
        self._gone.labels(topic, partition).inc(events)

    def lagged(self, topic: str, partition: int, events: int) -> None:
        self._lag.labels(topic, partition).set(events)

    def progressed(self, topic: str, partition: int, at_seconds: float) -> None:
        self._progress.labels(topic, partition).set(at_seconds)

    def polled(self, gap_seconds: float) -> None:
        self._poll_gap.observe(gap_seconds)

    def evicted_unlearnt(self, events: int) -> None:
        self._unlearnt.inc(events)

    def held_back(self, reason: str, seconds: float) -> None:
        self._held_back.labels(reason).inc(seconds)

    def held(self, window: int, replay: int, heldout: int) -> None:
        self._window.set(window)
        self._replay.set(replay)
        self._heldout.set(heldout)
