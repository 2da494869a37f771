"""False alarms and delays of the drift monitor, alone and watching a model that learns: `drift.py`.

chance  alarms per 100,000 independent events, of the detectors alone: many features, errors at several levels
quiet   alarms per 100,000 events on streams that never drift, with the model
delays  events between a drift and its first alarm, on streams that drift once

The streams are river's. Each is drawn anew for each of --seeds seeds and learnt as `freshet replay` learns, with the
defaults and rounds of --every events. Prints a table a figure, and all of them as one JSON object on the last line. One
core.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from river.datasets import synth

from service.drift.alarm import DATA, KINDS
from service.drift.concept import ConceptWatch
from service.drift.distribution import DistributionWatch
from service.drift.reference import Reference
from service.learner.learner import Learner
from service.observer import Observer
from service.records import Examples, Partition
from service.settings import Drift, Settings
from service.train.fit import train_round

HERE = Partition("events", 0)
BLOCK_EVENTS = 100
RATE = 1_000.0
STEADY_EVENTS = 10_250
"""Before the drift, which falls between two rounds: the model has learnt, and what is raised so far is not counted."""

FOLLOWED_EVENTS = 5_000
PER_EVENTS = 100_000

Event = tuple[dict[Any, Any], Any]
Drawn = Iterator[Event]
Row = dict[str, Any]


def sea(seed: int, rule: int = 1) -> Drawn:
    """Two classes by the sum of two numbers; every tenth label is wrong."""
    return iter(synth.SEA(variant=rule, noise=0.1, seed=seed))


def rbf(seed: int, centroids: int | None = None) -> Drawn:
    """Three classes around 50 centroids, in ten numbers."""
    return iter(synth.RandomRBF(seed if centroids is None else centroids, seed, n_classes=3))


def agrawal(seed: int, rule: int = 1) -> Drawn:
    """Loan decisions; three of nine features are categories."""
    return iter(synth.Agrawal(classification_function=rule, seed=seed, perturbation=0.05))


def hyperplane(seed: int) -> Drawn:
    """Two sides of a plane in ten numbers; one in twenty labels is wrong."""
    return iter(synth.Hyperplane(seed, n_features=10, noise_percentage=0.05, mag_change=0.0))


def friedman(seed: int, factor: float = 1.0) -> Drawn:
    """Give a regression: a curved function of five of ten numbers, with noise."""
    return ((row, y * factor) for row, y in synth.Friedman(seed=seed))


def changed(before: Drawn, after: Drawn) -> Drawn:
    """Give one stream until the drift and the other from there on."""
    return itertools.chain(itertools.islice(before, STEADY_EVENTS), after)


def with_feature(drawn: Drawn, feature: Any, change: Callable[[Any, int], Any]) -> Drawn:  # noqa: ANN401 - river's names
    """Change one feature from the drift on; ``change`` is given its value and the event's number since."""
    for event, (row, y) in enumerate(drawn, -STEADY_EVENTS):
        yield (row if event < 0 else row | {feature: change(row[feature], event)}), y


QUIET: dict[str, Callable[[int], Drawn]] = {
    "sea": sea,
    "rbf": rbf,
    "agrawal": agrawal,
    "hyperplane": hyperplane,
    "friedman": friedman,
}
DRIFTING: dict[str, tuple[str, Callable[[int], Drawn]]] = {
    "sea, threshold 9 to 7": ("concept", lambda seed: changed(sea(seed, 1), sea(seed + 50, 2))),
    "sea, threshold 7 to 9.5": ("concept", lambda seed: changed(sea(seed, 2), sea(seed + 50, 3))),
    "agrawal, rule 2 to 4": ("concept", lambda seed: changed(agrawal(seed, 1), agrawal(seed + 50, 3))),
    "agrawal, rule 1 to 7": ("concept", lambda seed: changed(agrawal(seed, 0), agrawal(seed + 50, 6))),
    "rbf, other centroids": ("concept", lambda seed: changed(rbf(seed), rbf(seed, seed + 50))),
    "friedman, target x 1.5": ("concept", lambda seed: changed(friedman(seed), friedman(seed + 50, 1.5))),
    "sea, a number + 1 deviation": ("data", lambda seed: with_feature(sea(seed), 2, lambda x, _: x + 2.9)),
    "sea, a number + 0.5 deviations": ("data", lambda seed: with_feature(sea(seed), 2, lambda x, _: x + 1.45)),
    "sea, a tenth missing": ("data", lambda seed: with_feature(sea(seed), 2, lambda x, n: x if n % 10 else None)),
    "agrawal, a tenth new": ("data", lambda seed: with_feature(agrawal(seed), "car", lambda x, n: x if n % 10 else 99)),
    "sea, all sums above": ("prediction", lambda seed: with_feature(sea(seed), 0, lambda x, _: x / 2)),
}
CATEGORIES = ("elevel", "car", "zipcode")


class Alarms(Observer):
    """Keeps (kind, event) of each alarm."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int]] = []

    def alarmed(self, kind: str, feature: str | None, score: float, event: int) -> None:  # noqa: ARG002
        """Keep it."""
        self.found.append((kind, event))


def learn(drawn: Iterable[Event], events: int, every: int) -> list[tuple[str, int]]:
    """Learn so many events of a stream as they come; return (kind, event) of each alarm, events counted from 1."""
    drawn = iter(drawn)
    first = next(drawn)
    settings = _settings(first, every)
    alarms = Alarms()
    learner = Learner(settings, alarms)
    drawn = itertools.islice(itertools.chain([first], drawn), events)
    taken = 0
    while block := list(itertools.islice(drawn, BLOCK_EVENTS)):
        learner.take_in(HERE, np.arange(taken, taken + len(block)), [], _examples(learner, block, taken))
        taken += len(block)
        if (reason := learner.due(taken / RATE)) is None:
            continue
        _, candidate = learner.conclude(train_round(learner.begin_round(reason, taken / RATE)))
        if candidate is not None:
            learner.adopt(candidate, f"{learner.counts['rounds']:06d}-00000000")
        learner.settle()
    return alarms.found


def chance(events: int) -> Iterator[Row]:
    """Yield how many alarms each detector raised per 100,000 events that differ by chance alone."""
    random, settings = np.random.default_rng(1), Drift()
    none = np.zeros((BLOCK_EVENTS, 0), dtype=np.int64)
    for features in (1, 8, 64):
        found = 0
        for number in range(0, events, BLOCK_EVENTS):
            if number % PER_EVENTS == 0:  # another champion, and no drift that is known already
                watch = DistributionWatch(DATA, settings)
                names = [f"x{feature}" for feature in range(features)]
                watch.follow(Reference.of(names, random.normal(size=(2_000, features))))
            found += watch.look(random.normal(size=(BLOCK_EVENTS, features)), none, number) is not None
        yield {"features": features, "events": events, DATA: round(found * PER_EVENTS / events, 3)}
    for level in (0.01, 0.05, 0.1, 0.2, 0.4):
        alarms = ConceptWatch(settings, classifies=True).observe((random.random(events) < level).astype(float), 1)
        yield {"error": level, "events": events, "concept": round(len(alarms) * PER_EVENTS / events, 3)}
    for name, errors in {"normal": random.normal(size=events), "heavy tails": random.standard_t(2, events)}.items():
        alarms = ConceptWatch(settings, classifies=False).observe(np.abs(errors), 1)
        yield {"error": name, "events": events, "concept": round(len(alarms) * PER_EVENTS / events, 3)}


def quiet(events: int, every: int, seeds: int) -> Iterator[Row]:
    """Yield how many alarms a stream that never drifts raised per 100,000 events."""
    for name, make in QUIET.items():
        found: Counter[str] = Counter()
        for seed in range(seeds):
            alarms = learn(make(100 + seed), events, every)
            found.update(kind for kind, _ in alarms)
            print(f"{name} seed {seed}: {alarms}", file=sys.stderr, flush=True)
        scale = PER_EVENTS / (events * seeds)
        yield {"stream": name, "events": events * seeds} | {kind: round(found[kind] * scale, 2) for kind in KINDS}


def delays(every: int, seeds: int) -> Iterator[Row]:
    """Yield how soon the drift of each stream was found."""
    for name, (kind, make) in DRIFTING.items():
        after: list[int] = []
        beside: Counter[str] = Counter()
        for seed in range(seeds):
            found = learn(make(200 + seed), STEADY_EVENTS + FOLLOWED_EVENTS, every)
            beside.update({one for one, event in found if event > STEADY_EVENTS} - {kind})
            after += [event - STEADY_EVENTS for one, event in found if one == kind and event > STEADY_EVENTS][:1]
        row = {"stream": name, "alarm": kind, "found": f"{len(after)}/{seeds}"}
        yield (
            row
            | {"median": int(statistics.median(after)) if after else None, "latest": max(after, default=None)}
            | {"also": dict(beside)}
        )


def _settings(first: Event, every: int) -> Settings:
    names = [str(name) for name in first[0]]
    numeric = [name for name in names if name not in CATEGORIES]
    schema = {"numeric": numeric, "categorical": [name for name in names if name in CATEGORIES], "nullable": numeric}
    task = "regression" if isinstance(first[1], float) else "multiclass"
    return Settings.model_validate({"task": task, "schema": schema, "trigger": {"every_events": every}})


def _examples(learner: Learner, block: list[Event], first: int) -> Examples:
    rows = [{str(name): value for name, value in row.items()} for row, _ in block]
    numbers = [[np.nan if row[name] is None else float(row[name]) for name in learner.columns.numbers] for row in rows]
    texts = [[f"c{row[name]}" for row in rows] for name in learner.columns.categorical]
    regression = learner.settings.task == "regression"
    targets = [y if regression else learner.labels.index(f"k{int(y)}") for _, y in block]
    order = np.arange(first, first + len(block))
    return Examples(
        numbers=np.array(numbers, dtype=np.float64),
        codes=learner.categories.encode(texts, grow=True, rows=len(block)),
        targets=np.array(targets, dtype=np.float64),
        timestamps_ms=order,
        keys=np.random.default_rng(first).integers(0, 2**63, len(block), dtype=np.uint64),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", default="chance,quiet,delays")
    parser.add_argument("--chance-events", type=int, default=2_000_000)
    parser.add_argument("--events", type=int, default=PER_EVENTS, help="of each quiet stream and seed")
    parser.add_argument("--every", type=int, default=500, help="events between two rounds")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = {
        "chance": lambda: chance(given.chance_events),
        "quiet": lambda: quiet(given.events, given.every, given.seeds),
        "delays": lambda: delays(given.every, given.seeds),
    }
    told = {}
    for name in given.figures.split(","):
        told[name] = []
        for row in figures[name]():
            told[name].append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(json.dumps({"every_events": given.every, "seeds": given.seeds} | told))


if __name__ == "__main__":
    main()
