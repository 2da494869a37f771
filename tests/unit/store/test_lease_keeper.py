"""A lease is kept while its holder is busy with something else, and its loss is noticed."""

import time
from pathlib import Path

import pytest

from service.errors import LeaseLostError
from service.store.lease import LEASE, Lease
from service.store.lease_keeper import LeaseKeeper


def wait_for_change(path: Path, before: bytes) -> None:
    """Return once a file holds something else."""
    deadline = time.monotonic() + 30
    while path.read_bytes() == before:
        assert time.monotonic() < deadline, "nothing was renewed"
        time.sleep(0.01)


def lost_within(keeper: LeaseKeeper, seconds: float) -> bool:
    """Return whether the loss is noticed in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            keeper.check()
        except LeaseLostError:
            return True
        time.sleep(0.01)
    return False


def test_it_is_renewed_without_the_holders_doing(tmp_path: Path) -> None:
    """The file changes again and again, and the lease is still held."""
    lease = Lease(tmp_path, "one", 1.0)
    lease.try_acquire()
    with LeaseKeeper(lease) as keeper:
        for _ in range(2):
            wait_for_change(tmp_path / LEASE, (tmp_path / LEASE).read_bytes())
        keeper.check()
    after = (tmp_path / LEASE).read_bytes()
    time.sleep(0.6)
    assert (tmp_path / LEASE).read_bytes() == after


def test_a_lost_lease_is_told(tmp_path: Path) -> None:
    """Whoever asks hears that another trainer has taken over."""
    lease = Lease(tmp_path, "one", 1.0)
    lease.try_acquire()
    with LeaseKeeper(lease) as keeper:
        (tmp_path / LEASE).unlink()
        Lease(tmp_path, "two", 1.0).try_acquire()
        assert lost_within(keeper, 30.0)
        with pytest.raises(LeaseLostError, match="two"):
            keeper.check()
