"""Concept drift: whether the champion's error on arriving events has risen."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from river.drift import ADWIN, PageHinkley

from service.drift.alarm import CONCEPT, Alarm
from service.records import FloatArray
from service.settings.drift import Drift

MEMORY = 4_000
"""Errors kept since the detectors began. They begin anew on the newest half when it is full: what is remembered stays
bounded, and so does the smallest difference that enough events would make evident."""

WARM_UP = 200
"""Errors from which level and deviation are estimated before anything is looked for."""

CLIP = 4.0
"""An absolute error counts as at most so many times the median one: one absurd label is no change of concept."""

LEAST_SCALE = 1e-100
"""Where a regression makes no errors at all; the largest error over it is still a number."""

LEAST_DEVIATION = 0.15
"""Deviation of the error, on its scale from 0 to 1, that a nearly perfect model is taken to have."""


class _Detector(Protocol):
    """What river's detectors have in common: they are shown a value, and tell whether the mean has changed."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object: ...


class _Adwin(_Detector, Protocol):
    """One that also tells how many values it holds: after a change those since."""

    @property
    def width(self) -> float: ...


class ConceptWatch:
    """Feeds each error to ADWIN and to a Page-Hinkley test, and raises an alarm when either finds a rise.

    ADWIN finds falls too: then the model has become better, and both begin anew from that level, without an alarm.
    After an alarm they begin with the errors that follow it. Promotions reset nothing: a champion that errs more than
    the one before is what an alarm is for.
    """

    def __init__(self, settings: Drift, *, classifies: bool) -> None:
        self.settings = settings
        self.classifies = classifies
        self._held: FloatArray = np.empty(0)  # errors that the detectors have been fed with, in order
        self._fed_at_begin = 0
        self._last: int | None = None
        self._scale = self._deviation = 1.0
        self._adwin: _Adwin | None = None
        self._page_hinkley: _Detector | None = None

    def observe(self, errors: FloatArray, first_event: int) -> list[Alarm]:
        """Take in the errors [n] of consecutive events, the first of them number ``first_event``."""
        alarms: list[Alarm] = []
        done = 0
        while done < len(errors):
            room = (WARM_UP if self._adwin is None else MEMORY) - len(self._held)
            rise, used = self._feed(errors[done : done + room])
            done += used
            if rise is None:
                continue
            event = first_event + done - 1
            if self._last is None or event - self._last > self.settings.cooldown_events:
                self._last = event
                alarms.append(Alarm(CONCEPT, None, rise, self.settings.least_rise, event))
            self._begin(np.empty(0))
        return alarms

    def rise(self) -> float | None:
        """Return by how many deviations the newest ``window_events`` errors exceed those before; None if too few."""
        newest = min(self.settings.window_events, len(self._held) // 2)
        return self._rise(newest) if self._adwin is not None else None

    def snapshot(self) -> tuple[FloatArray, dict[str, Any]]:
        """Return the errors since the detectors began, and plain values."""
        return self._held.copy(), {"fed_at_begin": self._fed_at_begin, "last": self._last}

    def restore(self, errors: FloatArray, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot: fresh detectors are fed with the same errors as those that were saved."""
        at_begin = min(int(state["fed_at_begin"]), len(errors))
        self._last = state["last"]
        self._begin(errors[:at_begin])
        while at_begin < len(errors):
            at_begin += self._feed(errors[at_begin:])[1]

    def _feed(self, errors: FloatArray) -> tuple[float | None, int]:
        """Return by how much the error has risen if it has, and how many errors were taken in until then."""
        if self._adwin is None or self._page_hinkley is None:
            self._held = np.concatenate([self._held, errors])
            if len(self._held) >= WARM_UP:
                self._begin(self._held)
            return None, len(errors)
        adwin, page_hinkley = self._adwin, self._page_hinkley
        for used, error in enumerate(np.minimum(errors / self._scale, 1.0).tolist(), 1):
            adwin.update(error)
            page_hinkley.update(error)
            if page_hinkley.drift_detected or adwin.drift_detected:
                self._held = np.concatenate([self._held, errors[:used]])
                return self._found(adwin, page_hinkley), used
        self._held = np.concatenate([self._held, errors])
        if len(self._held) >= MEMORY:
            self._begin(self._held[-MEMORY // 2 :])
        return None, len(errors)

    def _found(self, adwin: _Adwin, page_hinkley: _Detector) -> float | None:
        newest = int(adwin.width)
        rise = self._rise(newest) if adwin.drift_detected and 0 < newest < len(self._held) else 0.0
        if page_hinkley.drift_detected:
            return max(rise, self._rise(self._since_change()), self.settings.least_rise)
        if rise >= self.settings.least_rise:
            return rise
        if rise < 0:
            self._begin(self._held[-newest:])
        return None

    def _begin(self, errors: FloatArray) -> None:
        """Begin anew with errors that are known already."""
        self._held, self._fed_at_begin = errors, len(errors)
        self._adwin = self._page_hinkley = None
        if len(errors) < WARM_UP:
            return
        self._scale = 1.0 if self.classifies else _scale(errors)
        known = np.minimum(errors / self._scale, 1.0)
        self._deviation = max(float(known.std()), LEAST_DEVIATION)
        adwin: _Adwin = ADWIN(delta=self.settings.adwin_delta)  # type: ignore[no-untyped-call]
        page_hinkley: _Detector = PageHinkley(
            min_instances=WARM_UP,
            delta=self.settings.page_hinkley_tolerance * self._deviation,
            threshold=self.settings.page_hinkley_threshold * self._deviation,
            alpha=1.0,  # bounded memory does the forgetting
            mode="up",
        )
        for error in known.tolist():
            adwin.update(error)
            page_hinkley.update(error)
        self._adwin, self._page_hinkley = adwin, page_hinkley

    def _rise(self, newest: int) -> float:
        scaled = np.minimum(self._held / self._scale, 1.0)
        return float(scaled[-newest:].mean() - scaled[:-newest].mean()) / self._deviation

    def _since_change(self) -> int:
        """Return for how many events the error has been up: those since the likeliest single change of its mean."""
        scaled = np.minimum(self._held / self._scale, 1.0)
        before = np.arange(1, len(scaled))
        after = len(scaled) - before
        sums = np.cumsum(scaled)[:-1]
        difference = (sums[-1] + scaled[-1] - sums) / after - sums / before
        return int(after[np.argmax(difference * np.sqrt(before * after))])


def _scale(errors: FloatArray) -> float:
    typical = float(np.median(errors)) or float(errors.mean())
    return max(CLIP * typical, LEAST_SCALE)
