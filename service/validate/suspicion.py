"""Suspicion: what arrives is not trusted while the serving model does no better than guessing. Pure.

A burst of wrong labels and an abrupt change look alike at first: the serving model fails. What follows tells which.
If what arrives can be learnt, as the events themselves or the learners show, it was a change; if the serving model
becomes right again first, it was noise. A change may also come at the end of noise.

::

            no better than guessing,                       it can be learnt
            and it did before              ┌───────────┐   (and no confirm_events)
   clear ─────────────────────────────────►│ suspected ├──────────────────────────► clear: changed
                                           └─┬───▲───┬─┘──► clear: noise     the serving model beats guessing
                          it can be learnt   │   │   └────► clear: expired   speculation_max_events
                                             ▼   │ learners do not beat guessing
                                          ┌──────┴─────┐
                                          │ confirming ├───► clear: changed, after confirm_events; or noise
                                          └────────────┘
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from service.records import FloatArray
from service.settings import Gate, Task
from service.validate.guessing import Newest, Usual
from service.validate.learnable import HINT

Phase = Literal["clear", "suspected", "confirming"]
What = Literal["entered", "confirming", "doubted", "changed", "noise", "expired"]

TURNS: dict[What, str] = {
    "entered": "the serving model does no better than guessing: nothing is published until it is known why",
    "confirming": "the learners beat guessing: a change, if gate.confirm_events more events confirm it",
    "doubted": "the learners no longer beat guessing",
    "changed": "what arrives can be learnt: it was a change, and learning goes on, without noise that came before it",
    "noise": "the serving model is right again: the events in between were noise, and are rolled back",
    "expired": "nothing was decided within gate.speculation_max_events: learning goes on",
}
"""Every turn, in words."""

STEP_EVENTS = 20
"""Looks are so many events apart, whatever the size of the batches in which events arrive."""

SIGNAL = 3.0
"""By so many standard errors features must predict labels for events to be learnable, whatever the learners can do.

HINT is enough for events not to be suspected, and where learners beat guessing, which could be a burst's frequencies.
"""

SURE, SURE_LEVEL = 4.0, 3e-5
"""By so many on the newest events alone, which are asked about again and again; and the level of such a test."""

LEAST_SIGNAL_EVENTS = 60

HINT_EVENTS = (40, 60, 80, 100)
"""A hint is looked for in so many newest events, where these contradict the serving model."""

LEARNT_SHARE = 0.25
"""Learners that are so good, measured by what the serving model used to be, have learnt what arrives."""

CLEARLY = 0.05
"""Learners must be so much better than a serving model that is right again, else the events before were noise."""

LEAST_EVIDENCE = 10.0
"""So many nats must speak for a failure, and against the usual scatter."""

REACH = 3
"""A suspicion is noticed within so many times ``gate.suspicion_events`` of its onset; it is looked for no further."""


@dataclass(frozen=True)
class Turn:
    """A change of phase: what happened behind so many of the events told, and the numbers it was decided on.

    ``onset_events`` is how many events before that the serving model began to fail, of an ``entered``; ``learnt``
    whether the learners predict well what arrives.
    """

    what: What
    after_events: int
    numbers: dict[str, float | None] = field(default_factory=dict)
    onset_events: int = 0
    learnt: bool = False


@dataclass(frozen=True)
class Told:
    """What is compared, per arriving event [n]: of the serving model, of guessing, of the learners if there are any.

    Who is to show that it is right is compared with guessing by what came ``lately`` too: frequencies of a burst may
    suit a model by chance, and learners learn them.
    ``signal(events, until)`` tells by how many standard errors features predict the labels of so many events before the
    ``until``-th of those told: whether there is anything to learn. ``newest(until)`` tells how many events before it
    can be learnt where those before them, since the serving model began to fail, cannot; None if that is not so.
    """

    serving: FloatArray
    guessing: FloatArray
    learners: FloatArray | None = None
    signal: Callable[[int, int], float] = lambda _events, _until: 0.0
    lately: FloatArray | None = None
    newest: Callable[[int], int | None] = lambda _until: None


class Suspicion:
    """Follows how the serving model and the learners predict what arrives, and says when not to trust it.

    ``events`` counts those since the suspicion began.
    """

    def __init__(self, settings: Gate, task: Task = "binary") -> None:
        self._settings = settings
        self._task = task
        self.phase: Phase = "clear"
        self.events = 0
        self._signal = math.nan  # as it was asked for last
        self._proven = False  # the serving model has beaten guessing since the last change
        self._same = True  # the serving model is the one that fell under suspicion
        self._confirmed = 0  # events since the learners beat guessing
        self._usual = Usual(REACH * settings.suspicion_events // STEP_EVENTS)
        self._before = Newest(REACH * settings.suspicion_events)
        self._serving = Newest(settings.suspicion_events)
        self._right = Newest(settings.suspicion_events)
        self._learners = Newest(settings.suspicion_events)

    @property
    def holds(self) -> bool:
        """Whether nothing may be published."""
        return self.phase != "clear"

    def look(self, told: Told) -> list[Turn]:
        """Take in how arriving events were predicted, in order; return the turns that this brought."""
        turns: list[Turn] = []
        count = len(told.serving)
        for begin in range(0, count, STEP_EVENTS):
            end = min(begin + STEP_EVENTS, count)
            difference = told.serving[begin:end] - told.guessing[begin:end]
            self._serving.append(difference)
            self._before.append(difference)
            lately = (told.guessing if told.lately is None else told.lately)[begin:end]
            self._right.append(told.serving[begin:end] - lately)
            if told.learners is not None:
                self._learners.append(told.learners[begin:end] - lately)

            def signal(events: int, until: int = end) -> float:
                self._signal = told.signal(events, until)
                return self._signal

            self._signal = math.nan
            what = self._enter(signal) if self.phase == "clear" else self._test(end - begin, signal)
            if what == "noise" and not self._settings.confirm_events and self._half_right(told.newest(end)):
                what = "changed"
            if what is not None:
                onset = self._before.risen(self._usual.mean, self._usual.spread)[0] if what == "entered" else 0
                turns.append(Turn(what, end, self._numbers(), onset, self._learnt))
                self._turn(what)
        return turns

    def serving_changed(self) -> None:
        """Note that another model serves: that it predicts well does not show that what came before was noise."""
        self._same = False

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` needs, as plain values."""
        return {
            "phase": self.phase,
            "events": self.events,
            "proven": self._proven,
            "usual": self._usual.mean,
            "variance": self._usual.variance,
            "wander": list(self._usual.wander),
            "before": self._before.values.tolist(),
            "same": self._same,
            "confirmed": self._confirmed,
            "serving": self._serving.values.tolist(),
            "right": self._right.values.tolist(),
            "learners": self._learners.values.tolist(),
        }

    @classmethod
    def from_json(cls, settings: Gate, value: Mapping[str, Any], task: Task = "binary") -> "Suspicion":
        """Return the suspicion that ``to_json`` described."""
        made = cls(settings, task)
        made.phase, made.events = value["phase"], int(value["events"])
        made._proven, made._same, made._confirmed = value["proven"], value["same"], int(value["confirmed"])
        made._usual.mean, made._usual.variance = float(value["usual"]), float(value["variance"])
        made._usual.wander.clear()
        made._usual.wander.extend(value.get("wander", [made._usual.variance]))
        made._before.append(np.array(value["before"], dtype=np.float64))
        made._serving.append(np.array(value["serving"], dtype=np.float64))
        made._right.append(np.array(value.get("right", value["serving"]), dtype=np.float64))
        made._learners.append(np.array(value["learners"], dtype=np.float64))
        return made

    def _enter(self, signal: Callable[[int], float]) -> What | None:
        if self._serving.below_zero(self._settings.suspicion_alpha):
            self._usual.follow(self._serving, first=not self._proven)
            self._proven = True
            return None
        self._usual.pass_over()
        full = len(self._serving.values) == self._serving.capacity
        if not self._proven or not full or self._serving.below_zero(self._settings.alpha):
            return None
        # A model that is always just a little better than guessing needs more events to be told from one that fails.
        onset, evidence = self._before.risen(self._usual.mean, self._usual.spread)
        if evidence <= LEAST_EVIDENCE:
            return None
        # A new concept shows in the events themselves, before any learner has learnt it.
        learnable = self._contradicted(onset) or signal(max(onset, LEAST_SIGNAL_EVENTS)) > HINT
        return None if learnable and not self._settings.confirm_events else "entered"

    def _test(self, events: int, signal: Callable[[int], float]) -> What | None:
        level = self._settings.suspicion_alpha
        self.events += events
        learners = self._learners.below_zero(level)
        right_again = self._same and self._serving.below_zero(level) and self._right.below_zero(level)
        if right_again and not (learners and self._learners.mean < self._serving.mean - CLEARLY):
            return "noise"
        if self.phase == "suspected":
            if self._changed(learners=learners, signal=signal):
                return "confirming" if self._settings.confirm_events else "changed"
            return "expired" if self.events >= self._settings.speculation_max_events else None
        self._confirmed += events
        if not self._learners.mean < 0 and not self._changed(learners=False, signal=signal):
            return "doubted"
        return "changed" if self._confirmed >= self._settings.confirm_events else None

    def _changed(self, *, learners: bool, signal: Callable[[int], float]) -> bool:
        """Tell whether what came since the onset is a new concept; ``learners`` is whether they beat guessing."""
        contradicted = self._contradicted(min(self.events, LEAST_SIGNAL_EVENTS))
        if contradicted and any(signal(newest) > HINT for newest in HINT_EVENTS):
            return True
        if self._learnt:
            return True
        if self.events < LEAST_SIGNAL_EVENTS or not (learners or not self._serving.mean < 0):
            return False
        if signal(self.events) > (HINT if learners else SIGNAL):
            return True
        # A change within a burst: of all that came only the newest can be learnt.
        return self.events > LEAST_SIGNAL_EVENTS and signal(LEAST_SIGNAL_EVENTS) > SURE

    def _half_right(self, newest: int | None) -> bool:
        """Tell whether the serving model is right again on so many events behind noise, but by far not as it was."""
        return newest is not None and Newest(newest, self._before.values).mean > self._usual.mean / 2

    @property
    def _learnt(self) -> bool:
        """Whether the learners predict what arrives, beyond chance and not just a little."""
        return self._learners.below_zero(SURE_LEVEL) and self._learners.mean < self._usual.mean * LEARNT_SHARE

    def _contradicted(self, events: int) -> bool:
        """Tell whether the serving model is worse than guessing: noise is as good for both, so this follows a rule.

        Not of a regression: whatever scatters errs more than the mean.
        """
        return self._task != "regression" and Newest(max(events, 1), self._before.values).above_zero(SURE_LEVEL)

    def _turn(self, what: What) -> None:
        if what == "confirming":
            self.phase, self._confirmed = "confirming", 0
            return
        if what == "doubted":
            self.phase = "suspected"
            return
        if what == "entered":
            self.phase, self.events, self._same = "suspected", 0, True
        else:
            self.phase, self._proven = "clear", what == "noise"
        self._usual.go_back()
        # What is said of the time after a turn is said on events after it.
        self._serving.values = self._right.values = self._learners.values = np.empty(0)

    def _numbers(self) -> dict[str, float | None]:
        means = {"serving_minus_guessing": self._serving.mean, "learners_minus_guessing": self._learners.mean}
        means |= {"events": float(self.events), "signal": self._signal}
        return {name: value if math.isfinite(value) else None for name, value in means.items()}
