"""Reads a server's own metrics: quantiles of what happened between two looks at a histogram."""

import urllib.request
from collections.abc import Mapping
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

DURATION = "freshet_request_duration_seconds"

Samples = dict[str, float]


def scrape(port: int) -> str:
    """Return a server's metrics as text."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as answer:
        text: str = answer.read().decode()
    return text


def buckets(text: str, name: str, **labels: str) -> Samples:
    """Return how many were counted up to each bound of a histogram, by the bound as it is written."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == name else ():
            own = dict(sample.labels)
            bound = own.pop("le", None)
            if sample.name == f"{name}_bucket" and bound is not None and own == labels:
                found[bound] = sample.value
    return found


def total(text: str, name: str, **labels: str) -> float:
    """Return the value of a counter or gauge, 0 if there is none with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= dict(sample.labels).items()
    )


def quantile(before: Mapping[str, float], after: Mapping[str, float], q: float) -> float:
    """Return a quantile in seconds of what was counted between two looks, as if evenly spread within each bucket.

    NaN if nothing was; the last finite bound where it lies above all of them.
    """
    counts = [(float(bound), count - before.get(bound, 0.0)) for bound, count in after.items()]
    counts = [(0.0, 0.0), *sorted(counts)]
    wanted = q * counts[-1][1]
    if not wanted:
        return float("nan")
    for (low, below), (high, until) in pairwise(counts):
        if until >= wanted and until > below:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / (until - below)
    return float("nan")
