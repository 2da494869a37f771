"""Dead letters read back: listed, or sent to their topic once more."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

import numpy as np
import structlog

from service.errors import SourceUnavailableError
from service.ingest.connect import open_sink, open_source
from service.ingest.dead_letters import DeadLetter, dead_letter_topic
from service.ingest.source import EventSource
from service.records import REFUSAL_REASONS, Partition, Positions, RecordBatch
from service.settings import Settings

log = structlog.get_logger(__name__)

POLL_EVENTS = 500
POLL_TIMEOUT_SECONDS = 0.1
SILENCE_SECONDS = 30.0
COMMIT_SECONDS = 10.0
REMEMBERED_LETTERS = 1_000_000  # about 100 MB; copies that lie farther apart are sent again


@dataclass(slots=True)
class Replayed:
    """What a replay did: letters ``sent``, ``truncated`` ones and ``copies`` skipped, and ``refused`` by the log."""

    sent: int = 0
    truncated: int = 0
    copies: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A letter of the list, and whether a replay has sent it already."""

    letter: DeadLetter
    replayed: bool


def read_dead_letters(settings: Settings) -> Iterator[ListedLetter]:
    """Yield the letters there are at this moment, oldest first within a partition; nothing is committed or made."""
    done = _done(settings)
    # A group of its own for each reading: in one group two readers would each see half.
    source = _open(settings, f"{settings.source.kafka.group_id}.dlq-list.{uuid4().hex}")
    try:
        for batch in _until(source.ends(), source):
            for index, offset in enumerate(batch.offsets.tolist()):
                letter = DeadLetter.from_record(batch, index)
                reached = max(done[why].get(batch.source, 0) for why in {None, letter.reason} & done.keys())
                yield ListedLetter(letter, offset < reached and letter.truncated_bytes is None)
    finally:
        source.close()


def replay_dead_letters(settings: Settings, reason: str | None = None) -> Replayed:
    """Send the letters that were not replayed yet, all or those of one reason, to the topics that they came from again.

    Each letter is sent with its original bytes, key and headers; of the copies that several trainers, or one that was
    killed, wrote of the same record, one. How far it came is committed after every batch; a replay that is cut off may
    send its last batch again.
    """
    done = _done(settings, reason)
    start = dict(done[None])
    if reason is not None:
        start = {at: max(start.get(at, 0), done[reason].get(at, 0)) for at in start | done[reason]}
    source, sink = _open(settings, _group(settings, reason)), open_sink(settings)
    result, seen = Replayed(), _Seen()
    origins = {dead_letter_topic(topic): topic for topic in settings.source.topics}
    try:
        source.seek(start)
        ends = source.ends()
        for batch in _until(ends, source):
            sending = 0
            for index, offset in enumerate(batch.offsets.tolist()):
                letter = DeadLetter.from_record(batch, index)
                if reason not in (None, letter.reason) or offset < done.get(letter.reason, {}).get(batch.source, 0):
                    continue
                if letter.truncated_bytes is not None:
                    result.truncated += 1
                    continue
                if seen.before(letter):
                    result.copies += 1
                    continue
                sink.send(origins[batch.source.topic], letter.value, key=letter.key, headers=letter.headers)
                sending += 1
            refused = len(sink.flush())
            result.refused += refused
            result.sent += sending - refused
            source.commit(_within(ends, source.positions()))
        _confirm(source, _within(ends, source.positions()))
    finally:
        source.close()
        sink.close()
    return result


class _Seen:
    """The newest letters of this replay, by where their records stood and what these were."""

    def __init__(self) -> None:
        self._letters: dict[bytes, None] = {}

    def before(self, letter: DeadLetter) -> bool:
        """Tell whether a copy of the letter was met already; those that never stood in a topic have none."""
        if letter.source.partition < 0 or letter.offset < 0:
            return False
        # With what it was: a topic that was made anew gives its offsets again.
        what = (letter.source, letter.offset, letter.value, letter.key, letter.headers)
        digest = hashlib.blake2b(repr(what).encode(), digest_size=16).digest()
        if digest in self._letters:
            return True
        self._letters[digest] = None
        if len(self._letters) > REMEMBERED_LETTERS:
            del self._letters[next(iter(self._letters))]
        return False


def _open(settings: Settings, group: str) -> EventSource:
    return open_source(settings, [dead_letter_topic(topic) for topic in settings.source.topics], group)


def _group(settings: Settings, reason: str | None) -> str:
    # What one reason's replay has sent must not keep a later replay of all from sending the rest.
    return f"{settings.source.kafka.group_id}.dlq-replay" + (f".{reason}" if reason else "")


def _done(settings: Settings, reason: str | None = None) -> dict[str | None, dict[Partition, int]]:
    """Return how far replays of all (None) and of each reason came, or of one reason only."""
    return {name: _committed(settings, name) for name in ((None, reason) if reason else (None, *REFUSAL_REASONS))}


def _committed(settings: Settings, reason: str | None) -> dict[Partition, int]:
    source = _open(settings, _group(settings, reason))
    try:
        return source.committed()
    finally:
        source.close()


def _until(ends: Positions, source: EventSource) -> Iterator[RecordBatch]:
    """Yield exactly what lies before ``ends``: a trainer refuses again what was just replayed, and appends it there."""
    heard = time.monotonic()
    while _short_of(ends, source.positions()):
        for batch in source.poll(POLL_EVENTS, POLL_TIMEOUT_SECONDS):
            heard = time.monotonic()
            within = _before(batch, ends.get(batch.source, 0))
            if len(within):
                yield within
        if time.monotonic() - heard > SILENCE_SECONDS:
            raise SourceUnavailableError(f"no dead letters came for {SILENCE_SECONDS:.0f} s; try again")


def _before(batch: RecordBatch, end: int) -> RecordBatch:
    count = int(np.searchsorted(batch.offsets, end))
    return replace(
        batch,
        offsets=batch.offsets[:count],
        timestamps_ms=batch.timestamps_ms[:count],
        values=batch.values[:count],
        keys=batch.keys[:count],
        headers=batch.headers[:count],
    )


def _within(ends: Positions, positions: Positions) -> dict[Partition, int]:
    # What came since must stay for the next replay.
    return {at: min(offset, ends[at]) for at, offset in positions.items() if at in ends}


def _short_of(ends: Positions, positions: Positions) -> bool:
    return any(positions.get(at, 0) < end for at, end in ends.items())


def _confirm(source: EventSource, reached: Positions) -> None:
    deadline = time.monotonic() + COMMIT_SECONDS
    while _short_of(reached, source.committed()):
        if time.monotonic() > deadline:
            message = "the letters were sent, but how far could not be committed: another replay sends some again"
            raise SourceUnavailableError(message)
        time.sleep(POLL_TIMEOUT_SECONDS)
        source.commit(reached)
