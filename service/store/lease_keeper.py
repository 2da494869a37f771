"""Renews a lease in a thread of its own, so that nothing slow, a disk or the dead letters, looks like death."""

import threading
from typing import Self

import structlog

from service.errors import LeaseLostError, StoreUnavailableError
from service.store.lease import Lease

log = structlog.get_logger(__name__)

RENEWALS_PER_LIFE = 4
"""How often it is renewed within the time after which it would lapse."""


class LeaseKeeper:
    """Keeps an acquired lease during a block; ``check`` tells whether it is still held as far as is known."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._stop = threading.Event()
        self._lost: LeaseLostError | None = None
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLostError if another trainer has taken over; never waits."""
        if self._lost is not None:
            raise self._lost

    def _keep(self) -> None:
        troubled = False
        while not self._stop.wait(self._lease.ttl_seconds / RENEWALS_PER_LIFE):
            try:
                self._lease.renew()
            except LeaseLostError as error:
                self._lost = error
                return
            except StoreUnavailableError as error:
                if not troubled:
                    log.warning("the lease could not be renewed; trying again", problem=str(error))
                troubled = True
            else:
                troubled = False
