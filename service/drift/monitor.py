"""Watches the stream for drift of its inputs, of the champion's outputs and of its error, event by event."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.drift.alarm import CONCEPT, DATA, KINDS, PREDICTION, Alarm
from service.drift.concept import ConceptWatch
from service.drift.distribution import DistributionWatch
from service.drift.reference import Reference
from service.model.features import FeatureColumns
from service.records import Examples, FloatArray, IntArray, Scores
from service.settings import Schema, Settings

MODEL = "model"
"""What stands in the place of a feature where a score is of the model itself."""

LEAST_OUTPUTS = 100
"""Fewer outputs of a new champion say too little of what to expect of it."""

MOST_UNTOLD = 1_000
"""Alarms kept until they are taken; of more the oldest are dropped."""

Arrays = dict[str, NDArray[Any]]


class DriftMonitor:
    """All detectors of one learner. Memory is fixed, and nothing depends on how events are cut into batches.

    Data and predictions are compared after every ``drift.every_events`` scored events, errors one by one. The reference
    of the data is that of the champion's training data. That of its predictions are those of held-out events at its
    promotion, or its first ones where these are too few. ``since_round`` are the kinds of the
    alarms since the last round began, ``totals`` counts them all.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.drift
        self.totals = dict.fromkeys(KINDS, 0)
        self.since_round: list[str] = []
        self._regression = settings.task == "regression"
        self._nullable = frozenset(settings.schema_.nullable)
        self._features = FeatureColumns(settings.schema_)
        self._data = DistributionWatch(DATA, self.settings)
        self._predictions = DistributionWatch(PREDICTION, self.settings)
        self._errors = ConceptWatch(self.settings, classifies=not self._regression)
        self._untold: deque[Alarm] = deque(maxlen=MOST_UNTOLD)
        self._pending: list[tuple[FloatArray, IntArray, FloatArray]] = []
        self._waiting = 0  # events in it
        self._foreign = 0  # and how many of them another champion has predicted

    def follow(self, reference: Reference, outputs: FloatArray | None = None) -> None:
        """Take note that there is another champion, with this reference of its training data.

        ``outputs`` [n] are what it predicts for events that it has not learnt: label indices or values.
        """
        self._data.follow(reference)
        self._predictions.forget()
        self._predictions.follow(self._expected(outputs))
        self._foreign = self._waiting

    def round_began(self) -> None:
        """Count the alarms since a round began from now."""
        self.since_round = []

    def observe(self, arrived: Examples, champion: Scores, before: int) -> list[Alarm]:
        """Take in events that the champion has scored; ``before`` is how many were accepted before them."""
        predicted = np.zeros(len(arrived)) if champion.predicted is None else champion.predicted
        alarms = self._errors.observe(champion.errors, before + 1)
        numbers = self._features.summary(arrived.numbers)
        begin = 0
        while begin < len(arrived):
            end = min(len(arrived), begin + self.settings.every_events - self._waiting)
            self._pending.append((numbers[begin:end], arrived.codes[begin:end], predicted[begin:end]))
            self._waiting += end - begin
            begin = end
            if self._waiting == self.settings.every_events:
                alarms += self._look(before + end)
        alarms.sort(key=lambda alarm: alarm.event)
        for alarm in alarms:
            self.totals[alarm.kind] += 1
            self.since_round.append(alarm.kind)
        self._untold.extend(alarms)
        return alarms

    def take_alarms(self) -> list[Alarm]:
        """Return the alarms since the last call."""
        taken = list(self._untold)
        self._untold.clear()
        return taken

    def scores(self) -> dict[tuple[str, str], float]:
        """Return by (feature, kind), as ``watched`` lists them, those scores that there are.

        ``psi`` is a population stability index against the champion's training data, in nats; ``missing`` and
        ``unseen`` are shares of the newest events; ``prediction`` is the index of the champion's outputs against
        those expected of it, ``concept`` the rise of its error over the level before, in standard deviations of one
        error.
        """
        found = {(name, "psi"): score for name, score in self._data.scores().items()}
        rates = self._data.rates().items()
        found |= {key: rate for key, rate in rates if key[1] == "unseen" or key[0] in self._nullable}
        predictions, rise = self._predictions.scores().get(MODEL), self._errors.rise()
        if predictions is not None:
            found[MODEL, PREDICTION] = predictions
        if rise is not None:
            found[MODEL, CONCEPT] = rise
        return found

    def snapshot(self, *, promoting: bool = False, outputs: FloatArray | None = None) -> tuple[Arrays, dict[str, Any]]:
        """Return the state but for the champion's reference.

        With ``promoting`` it is the state that another champion will find, whose ``outputs`` are those of ``follow``.
        """
        errors, concept = self._errors.snapshot()
        pending = self._pending or [(np.empty((0, 0)), np.empty((0, 0), dtype=np.int64), np.empty(0))]
        arrays: Arrays = {"errors": errors}
        for index, name in enumerate(("numbers", "codes", "predicted")):
            arrays[f"pending.{name}"] = np.concatenate([part[index] for part in pending])
        if len(self._data):
            arrays["data.numbers"], arrays["data.codes"] = self._data.events()
        judged = self._expected(outputs) if promoting else self._predictions.reference
        if len(self._predictions) and not promoting:
            arrays["predictions.numbers"], arrays["predictions.codes"] = self._predictions.events()
        state = {
            "totals": dict(self.totals),
            "since_round": list(self.since_round),
            "concept": concept,
            "data": self._data.state(),
            "predictions": self._predictions.state() | ({"sizes": []} if promoting else {}),
            "predictions_reference": judged.to_json() if judged is not None else None,
            "foreign": self._waiting if promoting else self._foreign,
        }
        return arrays, state

    def restore(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any], champion: Reference | None) -> None:
        """Go on from a snapshot, with the reference of the champion of that time."""
        empty = np.empty((0, 0)), np.empty((0, 0), dtype=np.int64)

        def events(name: str) -> tuple[FloatArray, IntArray]:
            return arrays.get(f"{name}.numbers", empty[0]), arrays.get(f"{name}.codes", empty[1])

        self.totals |= state["totals"]
        self.since_round = list(state["since_round"])
        self._errors.restore(np.array(arrays["errors"]), state["concept"])
        self._data.restore(*events("data"), state["data"], champion)
        judged = state["predictions_reference"]
        self._predictions.restore(
            *events("predictions"), state["predictions"], Reference.from_json(judged) if judged is not None else None
        )
        numbers, codes = events("pending")
        dropped = max(len(numbers) - self.settings.every_events + 1, 0)  # where looks are more frequent than then
        self._waiting, self._foreign = len(numbers) - dropped, max(state["foreign"] - dropped, 0)
        if self._waiting:
            self._pending = [(numbers[dropped:], codes[dropped:], arrays["pending.predicted"][dropped:])]

    def _look(self, event: int) -> list[Alarm]:
        numbers, codes, predicted = (np.concatenate(parts) for parts in zip(*self._pending, strict=True))
        own = predicted[self._foreign :]
        self._pending, self._waiting, self._foreign = [], 0, 0
        found = [self._data.look(numbers, codes, event)]
        if len(own):
            found.append(self._judge(own, event))
        return [alarm for alarm in found if alarm is not None]

    def _judge(self, predicted: FloatArray, event: int) -> Alarm | None:
        """Compare the champion's newest outputs with those expected; of its first ones become those, if need be."""
        numbers, codes = self._columns(predicted)
        alarm = self._predictions.look(numbers, codes, event)
        if self._predictions.reference is None and len(self._predictions) >= self.settings.window_events // 2:
            first = self._reference(*self._predictions.events())
            self._predictions.forget()
            self._predictions.follow(first)
        return None if alarm is None else Alarm(PREDICTION, None, alarm.score, alarm.threshold, event)

    def _expected(self, outputs: FloatArray | None) -> Reference | None:
        """Return the reference of a champion's outputs, None if they are too few to be one."""
        if outputs is None or len(outputs) < LEAST_OUTPUTS:
            return None
        return self._reference(*self._columns(outputs))

    def _reference(self, numbers: FloatArray, codes: IntArray) -> Reference:
        numeric, categorical = ((MODEL,), ()) if self._regression else ((), (MODEL,))
        return Reference.of(numeric, numbers, categorical, codes, stretch=self.settings.every_events)

    def _columns(self, predicted: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return predictions as a column of numbers, or of codes: there is none that is missing."""
        rows = len(predicted)
        if self._regression:
            return predicted[:, None], np.zeros((rows, 0), dtype=np.int64)
        return np.zeros((rows, 0)), predicted.astype(np.int64)[:, None] + 1


def watched(schema: Schema) -> list[tuple[str, str]]:
    """Return every (feature, kind) that ``DriftMonitor.scores`` may tell."""
    return [
        *((name, "psi") for name in (*FeatureColumns(schema).watched, *schema.categorical)),
        *((name, "missing") for name in schema.nullable),
        *((name, "unseen") for name in schema.categorical),
        (MODEL, PREDICTION),
        (MODEL, CONCEPT),
    ]
