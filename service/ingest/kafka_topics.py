"""The topics that are read: which of them are not there, and which are not those that they were."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)

ABSENT_SECONDS = 2.0  # a client asks for the topics only after it has connected


class Topics:
    """Looks at what the client knows of the cluster, without asking it anything."""

    def __init__(self, names: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.names = tuple(names)
        self._clock = clock
        self._ids: dict[str, UUID] = {}
        self._absent_since: float | None = None
        self._told: tuple[str, ...] = ()

    def ids(self) -> dict[str, str]:
        """Return the topics' ids as text."""
        return {name: str(topic_id) for name, topic_id in self._ids.items()}

    def known(self, ids: Mapping[str, str]) -> None:
        """Take over the ids of an earlier life, so that topics made anew in between are noticed."""
        self._ids |= {name: UUID(text) for name, text in ids.items() if name in self.names}

    def absent(self, cluster: Any) -> str | None:  # noqa: ANN401 - kafka-python ships no types
        """Return a line if none of the topics has been there for a while; if only some are missing, log it once."""
        missing = tuple(name for name in self.names if cluster.partitions_for_topic(name) is None)
        if not missing:
            self._absent_since, self._told = None, ()
            return None
        now = self._clock()
        self._absent_since = now if self._absent_since is None else self._absent_since
        if now - self._absent_since < ABSENT_SECONDS:
            return None
        if missing == self.names:
            return f"there is no topic {' or '.join(missing)} yet: create it, or set source.topic"
        if missing != self._told:
            self._told = missing
            log.warning("some topics do not exist; the others are read", missing=", ".join(missing))
        return None

    def made_anew(self, cluster: Any) -> list[str]:  # noqa: ANN401
        """Return, once, the topics that were deleted and made again since they were seen first."""
        anew = []
        for name in self.names:
            newest: UUID | None = cluster.topic_id(name)
            if newest is None or not newest.int:  # before Kafka 2.8, and while there is no such topic
                continue
            if self._ids.setdefault(name, newest) != newest:
                self._ids[name] = newest
                anew.append(name)
        return anew
