"""The learner shows its monitor what arrives, and the reference follows the champion."""

import numpy as np

from service.learner.drift import plain_drift
from service.learner.learner import Learner
from service.observer import Observer
from service.records import Examples, Partition
from service.train.fit import train_round
from tests.examples import learner_of, separable

HERE = Partition("events", 0)


class Alarms(Observer):
    """Keeps what it is told of drift."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, int]] = []

    def alarmed(self, kind: str, feature: str | None, score: float, event: int) -> None:
        """Keep it."""
        assert score > 0
        self.told.append((kind, feature, event))


def take_in(learner: Learner, events: Examples) -> None:
    """Let events arrive in batches of fifty."""
    for begin in range(0, len(events), 50):
        first = learner.positions.get(HERE, 0)
        batch = events.take(slice(begin, begin + 50))
        learner.take_in(HERE, np.arange(first, first + len(batch)), [], batch)


def promote(learner: Learner) -> None:
    """Train a round and make what it brings the champion, whatever the gate says to it."""
    _, candidate = learner.conclude(train_round(learner.begin_round("new_events", 0.0)))
    assert candidate is not None
    learner.adopt(candidate, f"{learner.counts['rounds']:06d}-aaaaaaaa")


def test_flipped_labels_are_concept_drift_and_nothing_else() -> None:
    """The features and what the champion makes of them are as before; the event is counted among all accepted."""
    alarms = Alarms()
    learner = learner_of(alarms, gate={"enabled": False}, window={"events": 500})
    take_in(learner, separable(600))
    promote(learner)
    take_in(learner, separable(1_500, seed=1))
    assert not alarms.told
    take_in(learner, separable(500, seed=2, flipped=True))
    assert [(kind, feature) for kind, feature, _ in alarms.told] == [("concept", None)]
    assert 2_100 < alarms.told[0][2] <= 2_250


def test_a_promotion_moves_the_reference_to_the_new_champions_training_data() -> None:
    """Events like those that the first champion was not trained on are no drift for the second."""
    learner = learner_of(gate={"enabled": False}, window={"events": 500})
    shifted = separable(1_000, seed=3)
    shifted.numbers[:, 0] += 3.0
    take_in(learner, separable(600))
    promote(learner)
    take_in(learner, shifted)
    assert plain_drift(learner.drift_monitor.scores())["psi"]["a"] > 1.0
    promote(learner)
    assert plain_drift(learner.drift_monitor.scores())["psi"]["a"] < 0.1


def test_a_reference_is_as_old_as_the_newest_event_it_was_made_of() -> None:
    """Whatever arrives after that round began."""
    learner = learner_of(gate={"enabled": False}, window={"events": 500})
    take_in(learner, separable(600))
    newest = int(learner.holdings.window().timestamps_ms.max())
    promote(learner)
    take_in(learner, separable(700, seed=1_000))
    champion = learner.roles.champion
    assert champion is not None
    assert champion.reference.until_ms == newest
