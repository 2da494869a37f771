"""How old each event is when this server first answers from a checkpoint trained on it, or later: counted once."""

import time

import structlog

from service.errors import StoreError, StoreUnavailableError
from service.observer import Observer
from service.store.checkpoints import CheckpointStore
from service.store.event_times import EventTimes
from service.store.manifest import Manifest, age

NOTICE_SECONDS = 1.0
"""While something else is served than what is published, news are noted so often: pruning must not be quicker."""

MOST_WAITING = 256

Age = tuple[int, str]

log = structlog.get_logger(__name__)


class Freshness:
    """Follows publications, each of which tells of the events that it is the first to have learnt from.

    What this server passes over it counts later, with the next newer checkpoint that it serves. Going back to an older
    one counts nothing. Belongs to one thread.
    """

    def __init__(self, store: CheckpointStore, observer: Observer) -> None:
        self._store = store
        self._observer = observer
        self._noted: Age | None = None
        self._waiting: list[tuple[Age, EventTimes]] = []
        self._due: list[tuple[Manifest, float]] = []
        self._notice_at = 0.0

    def nothing_published(self) -> None:
        """Note that the store was seen empty: whatever comes is new, and not what has been served before."""
        self._noted = self._noted or (-1, "")

    def serves(self, manifest: Manifest, at_seconds: float) -> None:
        """Note that a checkpoint answers since a Unix time; the first one was published before this server began."""
        if self._noted is None:
            self._noted = age(manifest.id)
            return
        self._due.append((manifest, at_seconds))
        self.settle()

    def settle(self) -> None:
        """Count what is due; what a store that is away keeps from being counted waits for the next call."""
        try:
            while self._due:
                self._count(*self._due[0])
                self._due.pop(0)
            self._notice()
        except StoreUnavailableError as error:
            log.debug("events wait to be counted", problem=str(error))

    def _count(self, manifest: Manifest, at_seconds: float) -> None:
        self._note(manifest)
        if manifest.learnt is None:  # a former one is no newer for being published anew
            return
        own = age(manifest.id)
        trained_on = EventTimes.merged(times for published, times in self._waiting if published <= own)
        self._waiting = [one for one in self._waiting if one[0] > own]
        if len(trained_on):
            self._observer.events_served(trained_on.ages(at_seconds), trained_on.counts)

    def _notice(self) -> None:
        """Note what is published, whatever is served."""
        if self._noted is None or time.monotonic() < self._notice_at:
            return
        self._notice_at = time.monotonic() + NOTICE_SECONDS
        try:
            pointer = self._store.latest()
            if pointer is not None and age(pointer.id) > self._noted:
                self._note(self._store.manifest(pointer.id))
        except StoreUnavailableError:
            raise
        except StoreError:  # damaged or gone: whoever follows the pointer says so
            return

    def _note(self, manifest: Manifest) -> None:
        """Note the events of a checkpoint and of all published before it that are not noted yet.

        One that tells of none names none before it either: the next one will.
        """
        noted = self._noted or (-1, "")
        found: list[tuple[Age, EventTimes]] = []
        current: Manifest | None = manifest
        while current is not None and current.learnt is not None and age(current.id) > noted:
            found.append((age(current.id), current.learnt.event_times))
            current = self._before(current.learnt.after, noted) if current.learnt.after else None
        self._waiting = sorted([*self._waiting, *found])
        while len(self._waiting) > MOST_WAITING:  # rather counted late than not at all
            (_, one), (own, other) = self._waiting[:2]
            self._waiting[:2] = [(own, EventTimes.merged([one, other]).bounded(time.time_ns() // 1_000_000))]
        self._noted = max([noted, *(own for own, _ in found)])

    def _before(self, checkpoint_id: str, noted: Age) -> Manifest | None:
        if age(checkpoint_id) <= noted:
            return None
        try:
            return self._store.manifest(checkpoint_id)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            log.warning("events of a checkpoint that was never looked at go uncounted", problem=str(error))
            return None
