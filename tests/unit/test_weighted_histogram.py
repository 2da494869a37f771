"""Many observations at once give the histogram that prometheus_client gives for each of them."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from service.metrics import ServerObserver
from service.metrics.freshness import WeightedHistogram

BOUNDS = (0.05, 0.5, 1.0, 30.0)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_library_makes_of_single_observations(seed: int) -> None:
    """Bounds belong to the bucket that they end; the sum is that of all observations."""
    random = np.random.default_rng(seed)
    values = np.concatenate([random.exponential(2.0, 50), BOUNDS, [0.0, 31.0]])
    counts = random.integers(1, 5, len(values))
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = WeightedHistogram("seconds", "Some.", BOUNDS)
    ours.register(histogram)
    single = Histogram("seconds", "Some.", registry=theirs, buckets=BOUNDS)
    for part in np.array_split(np.arange(len(values)), 3):
        histogram.observe(values[part], counts[part])
    for value in np.repeat(values, counts):
        single.observe(value)
    wanted = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in _samples(theirs)}
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in _samples(ours)}
    wanted.pop("seconds_created", None)
    assert found == pytest.approx(wanted)


def test_the_servers_histogram_is_there_from_the_start() -> None:
    """With every bucket at zero, before any event was served."""
    text = generate_latest(ServerObserver().registry).decode()
    assert 'freshet_event_to_served_seconds_bucket{le="+Inf"} 0.0' in text
    assert 'freshet_event_to_served_seconds_bucket{le="0.05"} 0.0' in text
    assert "freshet_event_to_served_seconds_count 0.0" in text


def _samples(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
