"""The observer's hooks as Prometheus metrics; each process exports those of its own role, and both what they refused.

Every label value known beforehand is there from the start: counters and histograms at 0; gauges that have no value
yet at NaN, because 0 would be read as a perfect loss. `freshet_checkpoint_info` and its two times are absent until a
checkpoint serves.
"""

from service.metrics.prometheus import PrometheusObserver
from service.metrics.server import ServerObserver
from service.metrics.trainer import TrainerObserver

__all__ = ["PrometheusObserver", "ServerObserver", "TrainerObserver"]
