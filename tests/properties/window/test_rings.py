"""The rings against a plain list: contents, order, and what had to leave, at every step."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.records import Scores
from service.window.rings import ExampleRing, ScoreRing, arrays_of, examples_of
from tests.examples import numbered
from tests.properties.effort import examples


class Ring(RuleBasedStateMachine):
    """An ExampleRing beside a list of all arrivals."""

    @initialize(capacity=st.integers(1, 12))
    def begin(self, capacity: int) -> None:
        """Start empty."""
        self.ring = ExampleRing(capacity, 1, 0)
        self.capacity = capacity
        self.arrived = 0
        self.held: list[int] = []

    @rule(count=st.integers(0, 40))
    def append(self, count: int) -> None:
        """Take in some, perhaps more than there is room for; all that do not fit leave, oldest first."""
        new = numbered(self.arrived, self.arrived + count)
        gone = self.ring.append(new)
        self.arrived += count
        whole = [*self.held, *new.keys.tolist()]
        border = max(0, len(whole) - self.capacity)
        assert gone.keys.tolist() == gone.timestamps_ms.tolist() == whole[:border]
        assert gone.numbers[:, 0].tolist() == whole[:border]
        self.held = whole[border:]

    @rule(capacity=st.integers(1, 12))
    def restart(self, capacity: int) -> None:
        """Go on from a snapshot, perhaps with another capacity."""
        saved = {name: column.copy() for name, column in arrays_of(self.ring.contents()).items()}
        self.ring = ExampleRing(capacity, 1, 0)
        gone = self.ring.append(examples_of(saved))
        border = max(0, len(self.held) - capacity)
        assert gone.keys.tolist() == self.held[:border]
        self.capacity, self.held = capacity, self.held[border:]

    @rule()
    def scribble(self) -> None:
        """Contents are a copy: who writes into them changes nothing."""
        for column in arrays_of(self.ring.contents()).values():
            column[...] = 0

    @invariant()
    def holds_the_newest(self) -> None:
        """Every column, in order of arrival."""
        if hasattr(self, "ring"):
            rows = self.ring.contents()
            assert rows.keys.tolist() == rows.timestamps_ms.tolist() == rows.numbers[:, 0].tolist() == self.held
            assert len(self.ring) == len(self.held)


class Window(RuleBasedStateMachine):
    """A ScoreRing beside a list."""

    @initialize(capacity=st.integers(1, 12))
    def begin(self, capacity: int) -> None:
        """Start empty."""
        self.ring, self.capacity = ScoreRing(capacity), capacity
        self.scores: list[float] = []

    @rule(losses=st.lists(st.floats(0, 1e6), max_size=30))
    def append(self, losses: list[float]) -> None:
        """Take in some."""
        self.ring.append(Scores(np.array(losses), -np.array(losses)))
        self.scores = [*self.scores, *losses][-self.capacity :]

    @invariant()
    def means_are_of_the_newest(self) -> None:
        """Losses and errors stay paired."""
        if not hasattr(self, "ring"):
            return
        held = self.ring.contents()
        assert held.losses.tolist() == (-held.errors).tolist() == self.scores
        wanted = np.mean(self.scores) if self.scores else np.nan
        np.testing.assert_allclose(self.ring.means(), (wanted, -wanted))


def test_a_ring_holds_the_newest_and_hands_on_the_others_in_order() -> None:
    """At every step of any sequence of appends and restarts."""
    run_state_machine_as_test(Ring, settings=examples(50))


def test_means_of_scores_are_those_of_the_newest() -> None:
    """At every step."""
    run_state_machine_as_test(Window, settings=examples(30))
