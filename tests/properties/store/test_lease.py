"""The lease, with several trainers that live, sleep, die and come back, on a clock that is ours."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.errors import LeaseLostError
from service.store.lease import LEASE, Lease
from service.store.processes import ProcessMark
from tests.properties.effort import examples

TRAINERS = 2
TTL_SECONDS = 10.0
ELSEWHERE = ProcessMark(host="elsewhere", machine="0" * 16, pid=7, started=1)

trainers = st.integers(0, TRAINERS - 1)


class Machine(RuleBasedStateMachine):
    """Some trainers on one store; each has a clock of its own that is off by hours."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = 0.0
        self.leases = [self.lease(number) for number in range(TRAINERS)]
        self.holder: int | None = None  # who took it last and has not given it back
        self.shown_at = 0.0  # when that one last showed that it lives
        self.highest = 0
        self.whole = True

    def lease(self, number: int) -> Lease:
        """Return a new process's claim."""
        return Lease(
            self.folder,
            f"trainer-{number}",
            TTL_SECONDS,
            monotonic=lambda: self.now + 3_600.0 * number,
            wall_clock=lambda: self.now * (number - 1),
            process=ELSEWHERE,
        )

    def teardown(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder)

    @rule(number=trainers, seconds=st.sampled_from([0.0, 0.5, 4.0, 9.9, 10.0, 60.0]))
    def ask_and_wait(self, number: int, seconds: float) -> None:
        """The holder is given its number again, another a higher one, and only when the lease is free or has lapsed."""
        mine = self.holds(number)
        fence = self.leases[number].try_acquire()
        if mine:
            assert fence == self.highest
        elif fence is not None:
            assert fence > self.highest
            silent = self.now - self.shown_at
            assert self.holder is None or not self.whole or silent >= TTL_SECONDS
            self.highest, self.holder, self.shown_at, self.whole = fence, number, self.now, True
        else:
            assert self.holder is not None or not self.whole
        self.now += seconds

    @rule(number=trainers)
    def renew(self, number: int) -> None:
        """The holder may always, however long it slept; nobody else may."""
        if self.holds(number):
            self.leases[number].renew()
            self.shown_at = self.now
        else:
            with pytest.raises(LeaseLostError):
                self.leases[number].renew()

    @rule(number=trainers)
    def release(self, number: int) -> None:
        """Frees it if it was this one's, else nothing."""
        mine = self.holds(number)
        self.leases[number].release()
        if mine:
            self.holder = None

    @rule(number=trainers, what=st.sampled_from(["die", "die", "damage", "delete"]))
    def suffer(self, number: int, what: str) -> None:
        """A new process has no claim on what the old one held; a file may be overwritten, or removed by hand."""
        if what == "die":
            self.leases[number] = self.lease(number)
            assert not self.holds(number)
        elif not self.highest:
            return
        elif what == "damage":
            (self.folder / LEASE).write_bytes(b"{}")
            self.whole, self.shown_at = False, self.now
        else:
            (self.folder / LEASE).unlink(missing_ok=True)
            self.whole, self.holder = True, None

    @invariant()
    def at_most_one_passes(self) -> None:
        """And that one took it last."""
        passing = [number for number in range(TRAINERS) if self.holds(number)]
        assert passing in ([], [self.holder])

    def holds(self, number: int) -> bool:
        """Tell whether a trainer's check passes."""
        try:
            self.leases[number].check()
        except LeaseLostError:
            return False
        return True


def test_numbers_rise_and_never_two_pass() -> None:
    """Whatever the order of events; and nobody is superseded who showed within the time that it lives."""
    run_state_machine_as_test(Machine, settings=examples(60))


pauses = st.lists(st.tuples(st.floats(0, 9.9), st.booleans()), max_size=12)


@examples(60)
@given(pauses, st.floats(0, 20))
def test_who_shows_often_enough_is_never_superseded_and_who_falls_silent_is(
    steps: Sequence[tuple[float, bool]], silence: float
) -> None:
    """However often a rival looks: it must have seen nothing change for the whole time to live."""
    machine = Machine()
    holder, rival = machine.leases
    try:
        assert holder.try_acquire() == 1
        for seconds, looks in steps:
            assert not looks or rival.try_acquire() is None
            machine.now += seconds
            assert rival.try_acquire() is None
            holder.renew()
        assert rival.try_acquire() is None
        machine.now += silence
        assert rival.try_acquire() == (2 if silence >= TTL_SECONDS else None)
    finally:
        machine.teardown()
