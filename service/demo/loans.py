"""The demo's stream: loan applications whose rule of approval changes."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from service.settings import Schema

SCHEMA = Schema(
    numeric=("salary", "commission", "age", "hvalue", "hyears", "loan"),
    categorical=("elevel", "car", "zipcode"),
    labels=("declined", "approved"),
)
CONCEPTS = (0, 6, 2, 8)
"""Agrawal's classification functions, each in turn; no two of them agree on much."""

DRIFT_EVERY_EVENTS = 20_000
"""Events between two changes of a stream without end, unless told otherwise; a demo with an end has three in it."""


def loans(seed: int, drift_every: int) -> Iterator[dict[str, Any]]:
    """Yield labelled loan applications without end, by another rule after every ``drift_every`` (Agrawal 1993)."""
    from river.datasets.synth import Agrawal  # noqa: PLC0415 - a second of imports that no other command needs

    for block in count():
        concept = Agrawal(classification_function=CONCEPTS[block % len(CONCEPTS)], seed=seed + block)
        for values, group in concept.take(drift_every):
            features = {name: values[name] for name in SCHEMA.numeric}
            features |= {name: str(values[name]) for name in SCHEMA.categorical}
            yield {"features": features, "label": SCHEMA.labels[int(group)]}
