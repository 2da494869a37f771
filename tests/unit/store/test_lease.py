"""The lease: one holder, rising numbers, and no trust in other clocks."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import LeaseLostError, StoreUnavailableError
from service.store.canonical import seal, unseal
from service.store.lease import Lease
from service.store.processes import ProcessMark, this_process

ELSEWHERE = ProcessMark(host="elsewhere", machine="0" * 16, pid=7, started=1)


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Return the observer's clock."""
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., Lease]:
    """Return a function that makes a lease of ten seconds on one store, of a process elsewhere unless said."""

    def lease(owner: str = "trainer", ttl_seconds: float = 10.0, process: ProcessMark = ELSEWHERE) -> Lease:
        return Lease(tmp_path / "store", owner, ttl_seconds, monotonic=clock, process=process)

    return lease


def test_one_holds_it_and_others_are_told_who(make: Callable[..., Lease]) -> None:
    """Owner, host, process and since when; asking again changes nothing."""
    one, two = make("one"), make("two")
    assert one.holder() is None
    assert one.try_acquire() == 1
    assert one.try_acquire() == 1
    assert two.try_acquire() is None
    holder = two.holder()
    assert holder is not None
    assert (holder.owner, holder.host, holder.pid, holder.fence) == ("one", "elsewhere", 7, 1)
    assert str(holder).startswith("one (process 7 on elsewhere, since 20")
    one.check()
    with pytest.raises(LeaseLostError, match=r"is held by one \(process 7 on elsewhere"):
        two.check()


def test_numbers_rise_and_are_never_given_twice(make: Callable[..., Lease], tmp_path: Path) -> None:
    """Not after a release, not by the same holder, and not if somebody deletes the lease's file."""
    fences = []
    for _ in range(3):
        for lease in (make("one"), make("two")):
            fences.append(lease.try_acquire())
            lease.release()
    (tmp_path / "store" / "lease.json").unlink()
    fences.append(make().try_acquire())
    assert fences == [1, 2, 3, 4, 5, 6, 7]


def test_a_holder_that_renews_keeps_it(make: Callable[..., Lease], clock: Clock) -> None:
    """However long, and however rarely the observer looks."""
    one, two = make("one"), make("two")
    one.try_acquire()
    for seconds in (9, 9, 9, 5_000, 10):
        assert two.try_acquire() is None
        clock.seconds += seconds
        one.renew()
    assert two.try_acquire() is None
    one.check()


def test_a_silent_holder_loses_it_after_the_time_that_the_observer_measured(
    make: Callable[..., Lease], clock: Clock
) -> None:
    """Counted from the first look: how old the file is by some clock means nothing. Then the old holder is fenced."""
    one, two = make("one"), make("two")
    assert one.try_acquire() == 1
    clock.seconds += 1_000_000
    assert two.try_acquire() is None
    clock.seconds += 9.9
    assert two.try_acquire() is None
    clock.seconds += 0.1
    assert two.try_acquire() == 2
    for use in (one.check, one.renew, lambda: one.guarded().__enter__()):
        with pytest.raises(LeaseLostError, match=r"is held by two.*publishes nothing more"):
            use()
    one.release()  # gives nothing of the other's away
    two.check()


def test_clocks_that_jump_do_no_harm(make: Callable[..., Lease], tmp_path: Path) -> None:
    """The wall clock is for people: a holder from the future or the past is neither held longer nor superseded."""
    now = [4e9]
    one = Lease(tmp_path / "store", "one", 10.0, wall_clock=lambda: now[0], process=ELSEWHERE)
    two = make("two")
    one.try_acquire()
    now[0] = 0.0
    one.renew()
    assert two.try_acquire() is None
    one.check()
    holder = two.holder()
    assert holder is not None
    assert holder.since.startswith("2096-")


def test_the_longer_of_two_times_to_live_counts(make: Callable[..., Lease], clock: Clock) -> None:
    """An impatient observer does not cut short what the holder was promised, nor is a patient one hurried."""
    one, two = make("one", ttl_seconds=60.0), make("two", ttl_seconds=1.0)
    one.try_acquire()
    assert two.try_acquire() is None
    clock.seconds += 59
    assert two.try_acquire() is None
    clock.seconds += 1
    assert two.try_acquire() == 2


def test_a_holder_that_was_not_superseded_goes_on_after_a_long_stop(make: Callable[..., Lease], clock: Clock) -> None:
    """Nobody waited for it."""
    one = make("one")
    one.try_acquire()
    clock.seconds += 1_000
    one.check()
    one.renew()


def test_a_released_lease_is_free_at_once(make: Callable[..., Lease]) -> None:
    """A standby need not wait; the one who gave it back may not go on."""
    one, two = make("one"), make("two")
    one.try_acquire()
    one.release()
    assert two.holder() is None
    for use in (one.check, one.renew):
        with pytest.raises(LeaseLostError, match="is not held by this trainer"):
            use()
    assert two.try_acquire() == 2
    make("three").release()  # never had it
    two.check()


def test_a_holder_of_this_machine_that_is_gone_is_superseded_at_once(make: Callable[..., Lease]) -> None:
    """So that a restart after kill -9 does not wait; a living one is waited for."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    make("killed", process=replace(this_process(), pid=child.pid)).try_acquire()
    assert make().holder() is None
    living = make("living", process=this_process())
    assert living.try_acquire() == 2
    assert make().try_acquire() is None


def test_a_damaged_lease_is_taken_over_after_the_wait(make: Callable[..., Lease], clock: Clock, tmp_path: Path) -> None:
    """Its holder cannot prove anything any more; numbers go on rising."""
    one, two = make("one"), make("two")
    one.try_acquire()
    path = tmp_path / "store" / "lease.json"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(LeaseLostError):
        one.check()
    assert two.holder() is None
    assert two.try_acquire() is None
    clock.seconds += 10
    assert two.try_acquire() == 2


def test_nobody_takes_it_during_a_guarded_block(make: Callable[..., Lease], clock: Clock) -> None:
    """Even when it has lapsed, a move of the pointer in the block is finished first."""
    one, two = make("one"), make("two")
    one.try_acquire()
    assert two.try_acquire() is None
    clock.seconds += 60
    with one.guarded(), pytest.raises(StoreUnavailableError, match=r"lease\.lock: locked by another"):
        two.try_acquire()
    assert two.try_acquire() == 2


@pytest.mark.parametrize(
    "change", [{"ttl_seconds": "10"}, {"fence": None}, {"pid": 10**30}, {"pid": -1}, {"host": 5}, {"held": 1}]
)
def test_a_well_sealed_lease_that_makes_no_sense_is_waited_out_as_a_damaged_one(
    make: Callable[..., Lease], clock: Clock, tmp_path: Path, change: dict[str, object]
) -> None:
    """Another version may have written it: it tells nothing but whether it changes."""
    make("one").try_acquire()
    path = tmp_path / "store" / "lease.json"
    values = unseal(path.read_bytes(), "lease")
    path.write_bytes(seal(values | change))
    two = make("two")
    assert two.holder() is None
    assert two.try_acquire() is None
    clock.seconds += 10
    assert two.try_acquire() == 2
