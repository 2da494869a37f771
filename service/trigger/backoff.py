"""Counts rounds that brought nothing, so that the next ones can be spaced wider."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from service.records import FloatArray
from service.settings import Trigger

FRUITLESS_REASONS = frozenset({"forward_worse", "recent_worse", "class_floor", "memory_worse"})
"""Rejections that say something about the candidate; others say that little was known, or who was asked."""

LEAST_EVENTS = 500
"""On fewer events the champion and its predecessor are not compared."""

PROVEN = 1.645
"""Standard errors above zero beyond which a mean gain is taken for one, at a level of 5 %."""


@dataclass
class _Gain:
    """The predecessor's losses minus the champion's on the events of one round: count, sum and sum of squares."""

    events: int = 0
    total: float = 0.0
    squares: float = 0.0


class Backoff:
    """How many rounds in a row were rejected, and how many brought no gain that can be shown.

    For the latter, arriving events are scored by the champion and its predecessor alike. When over
    ``backoff_idle_rounds`` rounds the champions were not provably better in the mean, whatever such rounds bring is
    small, and waiting longer costs little; were it to add up to something, it would show, and end the back-off.
    """

    def __init__(self, settings: Trigger) -> None:
        self._patience = settings.backoff_idle_rounds or 1
        self._idle = 0  # rounds at whose end the newest `_patience` had shown nothing
        self._gains: deque[_Gain] = deque([_Gain()], maxlen=self._patience)
        self.rejected_rounds = 0

    @property
    def idle_rounds(self) -> int:
        """How many rounds in a row brought no gain that can be shown; 0 while it may be chance."""
        return self._patience - 1 + self._idle if self._idle else 0

    def compared(self, gains: FloatArray) -> None:
        """Take in the predecessor's losses minus the champion's [n] on the same arriving events."""
        newest = self._gains[-1]
        newest.events += len(gains)
        newest.total += float(gains.sum())
        newest.squares += float((gains**2).sum())

    def decided(self, *, promoted: bool, reason: str) -> None:
        """Take note of the gate's decision about a round."""
        if promoted:
            self.rejected_rounds = 0
        elif reason in FRUITLESS_REASONS:
            self.rejected_rounds += 1
        self._idle = self._idle + 1 if self._nothing_gained() else 0
        self._gains.append(_Gain())

    def reset(self) -> None:
        """Begin anew: what is to be learnt has changed."""
        self.rejected_rounds = self._idle = 0
        self._gains.clear()
        self._gains.append(_Gain())

    def _nothing_gained(self) -> bool:
        events = sum(one.events for one in self._gains)
        if len(self._gains) < self._patience or events < LEAST_EVENTS:
            return False
        total, squares = (math.fsum(getattr(one, name) for one in self._gains) for name in ("total", "squares"))
        deviation = math.sqrt(max(squares - total**2 / events, 0.0))  # of the sum, as if every event were on its own
        return not total > PROVEN * deviation

    def to_json(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as plain values."""
        return {
            "rejected": self.rejected_rounds,
            "idle": self._idle,
            "gains": [list(astuple(one)) for one in self._gains],
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go on from what ``to_json`` returned."""
        self.rejected_rounds, self._idle = int(value["rejected"]), int(value["idle"])
        self._gains.clear()
        self._gains.extend(_Gain(int(events), total, squares) for events, total, squares in value["gains"])
