"""A learner that has a good model, and events for it that are noise or a new concept."""

from collections import Counter
from dataclasses import replace

import numpy as np

from service.learner.learner import Learner
from service.learner.runs import Runs
from service.observer import Observer
from service.records import Examples, Partition
from service.train.fit import train_round
from service.validate.gate import Decision, outcome_of
from tests.examples import learner_of, separable

HERE = Partition("events", 0)


class Counted(Observer):
    """Counts turns of suspicions, and how rounds end."""

    def __init__(self) -> None:
        self.turns: Counter[str] = Counter()
        self.rounds: Counter[str] = Counter()

    def suspected(self, what: str) -> None:
        """Count a turn."""
        self.turns[what] += 1

    def round_ended(self, outcome: str) -> None:
        """Count a round."""
        self.rounds[outcome] += 1


def shuffled(rows: int, seed: int) -> Examples:
    """Return events whose labels have nothing to do with their numbers."""
    examples = separable(rows, seed=seed)
    return replace(examples, targets=np.random.default_rng(seed + 1).permutation(examples.targets))


def take(learner: Learner, arrived: Examples) -> None:
    """Take in events at the next offsets."""
    first = learner.positions.get(HERE, 0)
    learner.take_in(HERE, np.arange(first, first + len(arrived)), [], arrived)


def learn(learner: Learner, arrived: Examples) -> Decision:
    """Take in events and carry a round out, as a driver does."""
    take(learner, arrived)
    decision, candidate = learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    if candidate is not None:
        learner.adopt(candidate, f"{learner.counts['rounds']:06d}-aaaaaaaa")
    how = outcome_of(decision)
    if how is not None:
        learner.outcomes[how] += 1
        learner.observer.round_ended(how)
    return decision


def taught(observer: Observer | None = None, **gate: object) -> Learner:
    """Return a learner that has a champion which is known to be good."""
    learner = learner_of(observer, gate={"suspicion_events": 60, **gate})
    for seed in range(4):
        learn(learner, separable(100, seed=seed))
    return learner


def held(learner: Learner) -> set[int]:
    """Return the keys of all that a learner holds."""
    parts = (learner.holdings.window(), learner.holdings.replay(), learner.holdings.recent(), learner.holdings.memory())
    return {key for part in parts for key in part.keys.tolist()}


def drive(learner: Learner, stream: Examples, poll: int) -> Runs:
    """Take a stream in, so many events at a time, with a round whenever one is due; return what became of offsets."""
    settled = []
    for begin in range(0, len(stream), poll):
        take(learner, stream.take(slice(begin, begin + poll)))
        reason = learner.due(0.0)
        if reason is not None:
            _, candidate = learner.conclude(train_round(learner.begin_round(reason, 0.0)))
            if candidate is not None:
                learner.adopt(candidate, f"{learner.counts['rounds']:06d}-aaaaaaaa")
        settled.append(learner.settle()[1])
    arrays, _ = learner.fates.snapshot()
    return Runs.concatenate([*settled, Runs(**arrays)])
