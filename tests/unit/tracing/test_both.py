"""One observer for two."""

from service.observer import Observer
from service.tracing.both import HOOKS, Both


class Heard(Observer):
    """Remembers the swaps and the batches."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def swapped(self, outcome: str) -> None:
        """Remember a swap."""
        self.heard.append(outcome)

    def training_paused(self, *, paused: bool) -> None:
        """Remember a pause."""
        self.heard.append(paused)


class Deaf(Observer):
    """Listens to batches alone."""

    def batched(self, instances: int) -> None:
        """Listen."""


def test_both_hear_what_both_listen_to() -> None:
    """A hook reaches the first, then the second, with arguments by place and by name."""
    first, second = Heard(), Heard()
    both = Both(first, second)
    both.swapped("damaged")
    both.training_paused(paused=True)
    assert first.heard == second.heard == ["damaged", True]


def test_what_one_listens_to_is_its_own_hook() -> None:
    """Nothing stands between the caller and the only listener; what nobody listens to does nothing."""
    first, second = Heard(), Deaf()
    both = Both(first, second)
    assert both.swapped == first.swapped
    assert both.batched == second.batched
    both.request_began()


def test_every_hook_of_an_observer_is_handed_on() -> None:
    """The hooks are found by looking: a new one needs no line here."""
    assert {"request_ended", "round_over", "swapped", "phase_ended"} <= set(HOOKS)
    assert not any(name.startswith("_") for name in HOOKS)
