"""Examples and learners that tests start from."""

from typing import Any

import numpy as np

from service.learner.learner import Learner
from service.observer import Observer
from service.records import Examples
from service.settings import Settings


def settings_of(**sections: Any) -> Settings:
    """Return settings with two numeric features and labels ``no`` and ``yes``, small and quick, plus ``sections``."""
    tree: dict[str, Any] = {
        "schema": {"numeric": ["a", "b"], "labels": ["no", "yes"]},
        "window": {"events": 200, "replay_events": 300},
        "trigger": {"every_events": 100},
        "train": {"first_steps": 150, "steps": 30, "batch_size": 64, "portfolio": [], "model": {"hidden": [16]}},
    }
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values} if isinstance(values, dict) else values
    return Settings.model_validate(tree)


def separable(rows: int, *, seed: int = 0, flipped: bool = False) -> Examples:
    """Return n events of two numbers; the label is whether their sum is positive, or the opposite when ``flipped``."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 2))
    positive = numbers.sum(axis=1) > 0
    return Examples(
        numbers=numbers,
        codes=np.zeros((rows, 0), dtype=np.int64),
        targets=(positive != flipped).astype(np.float64),
        timestamps_ms=np.arange(rows, dtype=np.int64) + 1_700_000_000_000 + seed,
        keys=random.integers(0, 2**63, size=rows, dtype=np.uint64),
    )


def numbered(first: int, following: int) -> Examples:
    """Return examples whose only number, timestamp and key are ``first`` to ``following`` (excluded)."""
    order = np.arange(first, following)
    return Examples(
        numbers=order.astype(np.float64)[:, None],
        codes=np.zeros((len(order), 0), dtype=np.int64),
        targets=np.zeros(len(order)),
        timestamps_ms=order.astype(np.int64),
        keys=order.astype(np.uint64),
    )


def learner_of(observer: Observer | None = None, **sections: Any) -> Learner:
    """Return a learner without a model."""
    return Learner(settings_of(**sections), observer or Observer())
