"""The contracts that Kafka and the embedded log both keep; nothing downstream knows which one it reads."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from service.records import Header, Partition, Positions, RecordBatch


class EventSource(Protocol):
    """Reads a topic. Owned by one thread; positions are the caller's, the committed ones serve lag tools only.

    Every method may raise SourceUnavailableError, after which the same call may be tried again.
    """

    def poll(self, max_events: int, timeout_seconds: float) -> list[RecordBatch]:
        """Return up to ``max_events`` next records by partition; empty when none came within the timeout."""
        ...

    def positions(self) -> dict[Partition, int]:
        """Return for every partition being read the offset of the next record that ``poll`` would return."""
        ...

    def seek(self, positions: Positions) -> None:
        """Go on from these offsets; a partition not named starts at its beginning.

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

    def gaps(self) -> dict[Partition, int]:
        """Return, once each, how many records were deleted by the log before they could be read."""
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
