"""The contracts that Kafka and the embedded log both keep; nothing downstream knows which one it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from service.records import Header, Partition, Positions, RecordBatch


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets ``first`` to ``last``, both included, between where a reader was and where it had to go on.

    ``deleted``: the log forgot them before they were read; reading goes on behind ``last``.
    ``unreadable``: the log holds bytes there that are no records (a bad checksum); reading goes on behind ``last``.
    ``rewound``: the log ends before them although they were read once: an older log has come back, or the topic was
    made anew. Reading goes on at ``first``, and what is appended now gets these offsets a second time.
    """

    first: int
    last: int
    why: Literal["deleted", "unreadable", "rewound"] = "deleted"

    @property
    def events(self) -> int:
        """How many offsets the gap spans: at most so many records."""
        return self.last - self.first + 1


def between(position: int, nearest: int) -> Gap:
    """Return the gap of a reader that was at ``position`` and goes on at another offset, the nearest that is left."""
    if nearest > position:
        return Gap(position, nearest - 1)
    return Gap(nearest, position - 1, "rewound")


class EventSource(Protocol):
    """Reads some topics. Owned by one thread; positions are the caller's, the committed ones serve lag tools only.

    Every method may raise SourceUnavailableError, after which the same call may be tried again.
    """

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records by partition; empty when none came within the timeout.

        With ``max_events`` 0 nothing is returned and no position moves, but the connection is kept: who is too busy to
        take records in calls this as often as it would poll.
        """
        ...

    def positions(self) -> dict[Partition, int]:
        """Return for every partition being read the offset of the next record that ``poll`` would return."""
        ...

    def topics(self) -> dict[str, str]:
        """Return by topic what tells it from a later one of the same name; empty where nothing is known."""
        ...

    def seek(self, positions: Positions, topics: Mapping[str, str] = MappingProxyType({})) -> None:
        """Go on from these offsets; a partition not named starts at its beginning.

        ``topics`` is what ``topics()`` told when the positions were: a topic made anew since is read from its
        beginning, with a ``rewound`` gap.

        An offset that the log has deleted is reported through ``gaps`` and becomes the nearest one that is left.
        """
        ...

    def commit(self, positions: Positions) -> None:
        """Publish the positions for lag tools, without waiting for the answer."""
        ...

    def committed(self) -> dict[Partition, int]:
        """Ask the log for the positions that this source's group committed last; empty if it never did."""
        ...

    def ends(self) -> dict[Partition, int]:
        """Ask the log for the offset after the newest record of every partition; empty without a topic."""
        ...

    def lag(self) -> dict[Partition, int]:
        """Return how many records of each partition wait to be polled, as of the last poll; never blocks."""
        ...

    def gaps(self) -> dict[Partition, list[Gap]]:
        """Return, once each and in the order in which they were met, the offsets that reading had to jump over."""
        ...

    def close(self) -> None:
        """Leave the group and free what is held. Can be called twice."""
        ...


TOO_LARGE = "too_large"
"""The reason that ``EventSink.flush`` gives for a record with more bytes than the log takes."""


class EventSink(Protocol):
    """Appends records to a topic; used by one thread at a time. Every method may raise SourceUnavailableError."""

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Sequence[Header] = ()
    ) -> None:
        """Queue one record; durable only once ``flush`` has returned."""
        ...

    def flush(self, timeout_seconds: float = 30.0) -> Mapping[int, str]:
        """Wait until all that was sent since the last flush is durable; return what the log refused for good.

        The keys count from 0 in order of sending, the values say why, TOO_LARGE among them. What is not durable when
        this raises is kept, and the next flush goes on with it: a record may then be in the log twice.
        """
        ...

    def close(self) -> None:
        """Free what is held, without waiting for records that were not flushed. Can be called twice."""
        ...
