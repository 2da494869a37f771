"""How long events wait for a checkpoint that was trained on them, and how long a round takes to bring one."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import Any

from service.trigger.costs import REMEMBERED

MOST_MARKS = 512
"""Moments of arrival that are kept apart; what comes between two of them counts as come with the first."""


class Freshness:
    """Follows learnable events, numbered in order of arrival, from their arrival to a served checkpoint.

    A checkpoint counts as trained on all that had arrived when its round began: what was in the window then, and what
    rounds before it had in theirs, since lineages go on. What left the window unlearnt waits for nothing any more.
    """

    def __init__(self, window_events: int) -> None:
        self._window_events = window_events
        self._arrived = self._covers = self._tried = self._served = 0
        self._marks: list[tuple[float, int]] = []  # when events arrived, and the number of the first of them
        self._durations: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def round_seconds(self) -> float:
        """The longest that one of the newest rounds took until it served or was rejected; 0 before the first."""
        return max(self._durations, default=0.0)

    def took_in(self, learnable: int, now: float) -> None:
        """Note the arrival of so many learnable events."""
        if not learnable:
            return
        done = max(min(self._served, self._tried), self._arrived - self._window_events)
        while len(self._marks) > 1 and self._marks[1][1] <= done:
            self._marks.pop(0)
        if not self._marks or now - self._marks[-1][0] > (now - self._marks[0][0]) / MOST_MARKS:
            self._marks.append((now, self._arrived))
        self._arrived += learnable
        if len(self._marks) > MOST_MARKS:
            del self._marks[1::2]

    def began(self) -> None:
        """Note that a round begins with all that has arrived."""
        self._covers = self._arrived

    def tried(self) -> None:
        """Note that the round has come to its decision."""
        self._tried = self._covers

    def served(self) -> None:
        """Note that what the round brought serves."""
        self._tried = self._served = self._covers

    def gave_up(self) -> None:
        """Note that what has arrived so far waits for nothing any more."""
        self._covers = self._tried = self._served = self._arrived

    def took(self, seconds: float) -> None:
        """Note how long a round took from its beginning."""
        self._durations.append(seconds)

    def unserved_seconds(self, now: float) -> float:
        """Return the age of the oldest event in the window that the champion was not trained on; 0 without any."""
        return self._age(self._served, now)

    def untried_seconds(self, now: float) -> float:
        """Return the age of the oldest event in the window that no round that was decided was trained on."""
        return self._age(self._tried, now)

    def _age(self, number: int, now: float) -> float:
        number = max(number, self._arrived - self._window_events)
        if number >= self._arrived:
            return 0.0
        return now - self._marks[bisect_right(self._marks, number, key=lambda mark: mark[1]) - 1][0]

    def shift(self, seconds: float) -> None:
        """Move all moments, as another clock counts them."""
        self._marks = [(at + seconds, first) for at, first in self._marks]

    def to_json(self, now: float, *, served: bool = False) -> dict[str, Any]:
        """Return what ``restore`` needs, ages in place of moments; ``served`` as if that had been called already."""
        done = self._covers if served else self._served
        return {
            "arrived": self._arrived,
            "tried": max(self._tried, done),
            "served": done,
            "marks": [[now - at, first] for at, first in self._marks],
            "durations": list(self._durations),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go on from what ``to_json`` returned, at a moment 0; a round in flight then is lost."""
        self._arrived, self._tried, self._served = (int(value[name]) for name in ("arrived", "tried", "served"))
        self._covers = self._tried
        self._marks = [(-float(age), int(first)) for age, first in value["marks"]]
        self._durations = deque(map(float, value["durations"]), maxlen=REMEMBERED)
