"""Drives a learner through a recording, slice by slice."""

import json
import time
from collections import Counter
from collections.abc import Callable

from service.ingest.decode import Decoder
from service.learner.learner import Learner
from service.records import BoolArray, RecordBatch, Refusal
from service.replay.decisions import DecisionLog
from service.replay.recording import Recording
from service.replay.rounds import Rounds
from service.replay.suspicions import Suspicions
from service.replay.tally import Tally
from service.settings import label_text

Progress = Callable[[int, float], None]
"""Called with the events so far and the share of the file read, 0 to 1."""

LOOK_EVENTS = 100
"""Most events between two looks at the triggers."""

SUSPICIOUS_EVENTS = 20
"""And under suspicion, whose end brings a round at once: it is decided anew after so many events."""

LOOKS_A_PERIOD = 4
"""At least so many looks within trigger.every_seconds, unless fewer than trigger.min_events come between them."""

SETTLE_EVENTS = 5_000
DRIFT_EVENTS = 500
MOST_REFUSED_LABELS = 20


class Drive:
    """One pass through a recording: every slice is decoded, predicted, taken in; then a round may begin.

    ``counts`` tells for each row whether it is in the figures, None that all are. ``refused_labels`` are some of the
    labels that were unknown, with their events.
    """

    def __init__(
        self, learner: Learner, recording: Recording, tally: Tally, decisions: DecisionLog, counts: BoolArray | None
    ) -> None:
        self.learner = learner
        self.recording = recording
        self.tally = tally
        self.rounds = Rounds(learner, tally, decisions)
        self.refused_labels: dict[str, int] = {}
        self.suspicions = Suspicions()
        self._decisions = decisions
        self._counts = counts
        self._decoder = Decoder(
            learner.settings, learner.columns, learner.categories, learner.labels, lambda: time.time_ns() // 1_000_000
        )
        self._began_seconds = 0.0
        self._slice_seconds = 0.0
        self._slice_events = 0

    def run(self, progress: Progress) -> None:
        """Go through the recording to its end; raises TableError for a row that cannot be read."""
        settled = drift_read = 0
        while (batch := self.recording.take(self._most())) is not None:
            self._take(batch)
            self._tell()
            self.rounds.advance(self.recording.clock.now_seconds)
            rows = self.recording.rows
            progress(rows, self.recording.table.share_read)
            if rows - settled >= SETTLE_EVENTS:
                settled = rows
                self.learner.settle()
            if rows - drift_read >= DRIFT_EVENTS:
                drift_read = rows
                self._read_drift()
        self.learner.settle()
        progress(self.recording.rows, 1.0)

    @property
    def virtual_seconds(self) -> float:
        """How much time has passed on the recording's own clock."""
        return self.recording.clock.now_seconds - self._began_seconds

    def _most(self) -> int:
        """Return how many rows to take next: no more than to the next round.

        What a round brings predicts the very next event, and its checkpoint fixes the labels.
        """
        trigger = self.learner.settings.trigger
        most = SUSPICIOUS_EVENTS if self.learner.speculation.holds else LOOK_EVENTS
        if self._slice_seconds > 0:
            a_look = self._slice_events * trigger.every_seconds / (LOOKS_A_PERIOD * self._slice_seconds)
            most = min(most, max(trigger.min_events, int(a_look)))
        left = trigger.every_events - self.learner.new_events
        return min(most, left) if left > 0 else most

    def _take(self, batch: RecordBatch) -> None:
        decoded = self._decoder.decode(batch)
        clock = self.recording.clock
        before = clock.now_seconds
        clock.follow(decoded.examples)
        if self.recording.rows == len(batch):
            times = decoded.examples.timestamps_ms
            before = self._began_seconds = float(times[0]) / 1_000 if len(times) else clock.now_seconds
            self.learner.start_clock(self._began_seconds)
        self._slice_seconds, self._slice_events = clock.now_seconds - before, len(batch)
        self.tally.counts = None if self._counts is None else self._counts[decoded.offsets]
        self.learner.take_in(batch.source, batch.offsets, [one.index for one in decoded.refusals], decoded.examples)
        if decoded.refusals:
            self._refuse(batch, decoded.refusals)

    def _refuse(self, batch: RecordBatch, refusals: list[Refusal]) -> None:
        for reason, events in Counter(refusal.reason for refusal in refusals).items():
            self.tally.refused(reason, events)
        for refusal in refusals:
            value = batch.values[refusal.index]
            if refusal.reason == "unknown_label" and value is not None:
                label = str(label_text(json.loads(value)["label"]))
                if label in self.refused_labels or len(self.refused_labels) < MOST_REFUSED_LABELS:
                    self.refused_labels[label] = self.refused_labels.get(label, 0) + 1

    def _tell(self) -> None:
        """Write down the alarms and suspicions of the newest slice."""
        now = self.recording.clock.now_seconds
        for alarm in self.tally.take_alarms():
            told = {"what": alarm.kind, "feature": alarm.feature, "score": alarm.score}
            self._decisions.write("drift", alarm.event, now, told)
        for turn in self.learner.speculation.take_turns():
            event = turn.pop("accepted")
            self.suspicions.note(turn["what"], event)
            self._decisions.write("speculation", event, now, turn)

    def _read_drift(self) -> None:
        scores = self.learner.drift_monitor.scores()
        told = {f"{kind}/{feature}": score for (feature, kind), score in scores.items()}
        self.tally.drift.offer(self.tally.curves.events, told)
