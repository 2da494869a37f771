"""Takes records in: polls the source, decodes, hands on what fits, and keeps what does not for the dead letters."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import structlog

from service.errors import SourceUnavailableError
from service.ingest.decode import Decoder
from service.ingest.source import EventSource
from service.learner.learner import Learner
from service.observer import Observer
from service.records import RecordBatch, Refusal
from service.settings import Source

log = structlog.get_logger(__name__)

Refused = tuple[RecordBatch, list[Refusal]]

RECORD_BYTES = 512
"""Of a record beside key, value and headers: refusal, objects."""

HEADER_BYTES = 200
"""Of a header beside its name and content."""

LONGEST_PAUSE_SECONDS = 2.0

TURN_SECONDS = 0.01
"""Events that trickle in are taken in so far apart: a turn costs about 1 ms, for one event or for a hundred."""

FULL_SHARE = 0.25
"""A poll that brings this share of what it may bring is followed by the next at once: there is a backlog."""

GAPS = {
    "deleted": "records were deleted by the log before they could be read",
    "unreadable": "the log holds bytes here that are no records, and they were left aside",
    "rewound": "the log ends before what was read already: an older log has come back, or the topic was made anew",
}
ADVICE = {
    "deleted": "lengthen the topic's retention, or keep the trainer running",
    "unreadable": "check the broker's disk and who writes to the topic",
    "rewound": "what is appended now is new to the model; restore the topic, if it was not meant to be emptied",
}
"""What is said of each kind of gap in the log, and what to do about it."""


def only_refused(batch: RecordBatch, refusals: Sequence[Refusal]) -> Refused:
    """Return the refused records of a batch alone, so that the others' bytes are not kept with them."""
    rows = [refusal.index for refusal in refusals]
    kept = RecordBatch(
        batch.source,
        batch.offsets[rows],
        batch.timestamps_ms[rows],
        [batch.values[row] for row in rows],
        [batch.keys[row] for row in rows],
        [batch.headers[row] for row in rows],
    )
    return kept, [replace(refusal, index=index) for index, refusal in enumerate(refusals)]


def weight(batch: RecordBatch) -> int:
    """Return about how many bytes a batch takes in memory, its objects included."""
    sizes = (len(part or b"") for column in (batch.values, batch.keys) for part in column)
    headers = (len(name) + len(content) + HEADER_BYTES for some in batch.headers for name, content in some)
    return sum(sizes) + sum(headers) + RECORD_BYTES * len(batch)


def total_weight(refused: Sequence[Refused]) -> int:
    """Return about how many bytes refused records take in memory, also while another thread takes some out."""
    return sum(weight(batch) for batch, _ in list(refused))


class Intake:
    """One thread's way from the source to the learner.

    ``problem`` says in one line why nothing comes in, None while all is well. Records that did not fit are kept until
    ``take_refused``, and counted by reason in ``refused_counts``. ``read_seconds`` and ``arrived_seconds`` are the Unix
    times at which the source last answered, and last had records; None before that.
    """

    def __init__(self, settings: Source, source: EventSource, learner: Learner, observer: Observer) -> None:
        self.problem: str | None = "not connected yet"
        self.refused_counts: Counter[str] = Counter()
        self.read_seconds: float | None = None
        self.arrived_seconds: float | None = None
        self._refused: list[Refused] = []
        self._settings = settings
        self._source = source
        self._learner = learner
        self._observer = observer
        self._decoder = Decoder(
            learner.settings, learner.columns, learner.categories, learner.labels, lambda: time.time_ns() // 1_000_000
        )
        self._returned: float | None = None
        self._pause_seconds = 0.1

    def step(self, room: int | None = None) -> float:
        """Poll once and take in what came; return how long to pause before the next step, 0 where more is waiting.

        With ``room``, take in so many records at most; with none left, keep the connection alive and take nothing.
        """
        begun = time.perf_counter()
        if self._returned is not None:
            self._observer.polled(begun - self._returned)
        most = self._settings.poll_events if room is None else min(room, self._settings.poll_events)
        try:
            batches = self._source.poll(most, self._settings.poll_timeout_seconds)
        except SourceUnavailableError as error:
            return self._trouble(error)
        finally:
            self._returned = time.perf_counter()
        if self.problem is not None:
            log.info("source answers", topic=self._settings.topic)
            self.problem, self._pause_seconds = None, 0.1
        self._note_gaps()
        self._learner.topics = self._source.topics()
        for batch in batches:
            self._take(batch)
        self.read_seconds = time.time()
        self.arrived_seconds = self.read_seconds if batches else self.arrived_seconds
        self._report(self.read_seconds)
        if sum(map(len, batches)) >= FULL_SHARE * most:
            return 0.0
        return max(begun + TURN_SECONDS - time.perf_counter(), 0.0)

    def hold(self, reason: str) -> float:
        """Take nothing in for a while, for one of HOLD_REASONS, without losing the connection; return as ``step``."""
        begun = time.perf_counter()
        pause = self.step(room=0)
        self._observer.held_back(reason, time.perf_counter() - begun)
        return pause

    @property
    def refused_bytes(self) -> int:
        """The size of the refused records that wait to be taken, 0 if there are none."""
        return total_weight(self._refused)

    def take_refused(self) -> list[Refused]:
        """Hand over the refused records, for the dead letters."""
        taken, self._refused = self._refused, []
        return taken

    def give_back(self, refused: list[Refused]) -> None:
        """Take back what could not be handed on, before all that has come since."""
        self._refused[:0] = refused

    def _take(self, batch: RecordBatch) -> None:
        topic, partition = batch.source
        decoded = self._decoder.decode(batch)
        refusals = decoded.refusals
        refused = [refusal.index for refusal in refusals]
        self._learner.take_in(batch.source, batch.offsets, refused, decoded.examples)
        self._observer.consumed(topic, partition, len(batch))
        if refusals:
            self._refused.append(only_refused(batch, refusals))
            for reason, events in Counter(refusal.reason for refusal in refusals).items():
                self._observer.refused(reason, events)
                self.refused_counts[reason] += events

    def _report(self, now: float) -> None:
        for (topic, partition), events in self._source.lag().items():
            self._observer.consumed(topic, partition, 0)  # so that a partition counts from the start
            self._observer.positions_gone(topic, partition, 0)
            self._observer.lagged(topic, partition, events)
            self._observer.progressed(topic, partition, now)

    def _note_gaps(self) -> None:
        for source, gaps in self._source.gaps().items():
            for gap in gaps:
                where = {"topic": source.topic, "partition": source.partition, "first": gap.first, "last": gap.last}
                log.error(GAPS[gap.why], **where, events=gap.events, advice=ADVICE[gap.why])
                self._observer.positions_gone(source.topic, source.partition, gap.events)
                if gap.why == "rewound":
                    self._learner.rewind(source, gap.first, gap.last)
                else:
                    self._learner.pass_over(source, gap.first, gap.last)

    def _trouble(self, error: SourceUnavailableError) -> float:
        if self.problem != str(error):
            log.warning("source does not answer; trying again", problem=str(error))
        self.problem = str(error)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        return self._pause_seconds
