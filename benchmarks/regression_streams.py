"""Streams whose label is a number, by river's generators and from river's package; streams.py writes them."""

import itertools
import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from river.datasets import ChickWeights, TrumpApproval, WaterFlow, synth

EVENTS = 20_000
FOLDER = "regression"

Stream = tuple[Iterable[tuple[dict[Any, Any], Any]], tuple[Any, ...]]


def rotating() -> Iterator[tuple[dict[Any, Any], float]]:
    """Yield a linear label with noise, whose ten weights rotate two by two, each pair faster than the one before."""
    source = random.Random(8)
    weights = [source.gauss(0, 1) for _ in range(10)]
    for _ in range(EVENTS):
        values = [source.gauss(0, 1) for _ in weights]
        for place in range(0, 10, 2):
            turned = (place // 2 + 1) * 0.0006
            one, two = weights[place], weights[place + 1]
            weights[place] = one * math.cos(turned) - two * math.sin(turned)
            weights[place + 1] = one * math.sin(turned) + two * math.cos(turned)
        label = 10 * sum(weight * value for weight, value in zip(weights, values, strict=True))
        yield dict(enumerate(values)), 50 + label + source.gauss(0, 5)


def waterflow() -> Iterator[tuple[dict[Any, Any], float]]:
    """Yield what flows through a pipe in an hour, after the hour before and the same hour of the day before."""
    day: deque[float] = deque(maxlen=24)
    for row, flow in WaterFlow():
        time = row["Time"]
        if len(day) == day.maxlen:
            known = {"hour": time.hour, "weekday": time.weekday(), "hour before": day[-1], "day before": day[0]}
            yield known, flow
        day.append(flow)


def streams() -> dict[str, Stream]:
    """Return each stream and which of its features are categories, by the path of its file without the ending."""

    def friedman(kind: str, *position: int, seed: int, **more: int) -> Stream:
        return itertools.islice(synth.FriedmanDrift(kind, position, seed=seed, **more), EVENTS), ()

    named: dict[str, Stream] = {
        "friedman": (itertools.islice(synth.Friedman(seed=1), EVENTS), ()),
        "friedmanlea": friedman("lea", 5_000, 10_000, 15_000, seed=2),
        "friedmangra": friedman("gra", 7_000, 14_000, seed=3),
        "friedmangsg": friedman("gsg", 7_000, 14_000, seed=4, transition_window=2_000),
        "mv": (itertools.islice(synth.Mv(seed=5), EVENTS), ()),
        "planes": (itertools.islice(synth.Planes2D(seed=6), EVENTS), ()),
        "rotating": (rotating(), ()),
        "trump": (TrumpApproval(), ()),
        "chicks": (ChickWeights(), ("chick", "diet")),
        "waterflow": (waterflow(), ("weekday",)),
    }
    return {f"{FOLDER}/{name}": stream for name, stream in named.items()}
