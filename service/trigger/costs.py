"""What rounds cost, and the budget that they are paid from."""

from collections import deque
from collections.abc import Mapping
from typing import Any

CREDIT_SECONDS = 60.0
"""An idle stream saves up no more than this much time's share: a minute's, so that ten minutes are kept to a tenth."""

REMEMBERED = 8
"""Newest rounds whose cost and duration are expected of the next."""


class Costs:
    """A token bucket of processor seconds, filled at ``share`` a second of the driver's clock; None is no ceiling.

    A round begins while the balance is not negative and is charged when it has ended, so that in any span of T seconds
    rounds cost at most ``share * (T + CREDIT_SECONDS)`` and one round more, and while there is always enough to learn
    no less than that without the credit.
    """

    def __init__(self, share: float | None) -> None:
        self._share = share
        self._balance = 0.0
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def balance_seconds(self) -> float:
        """Processor seconds that are left; negative when the budget is overdrawn."""
        return self._balance

    @property
    def usual_seconds(self) -> float | None:
        """What a round has cost on average of late, in processor seconds; None before the first."""
        return sum(self._recent) / len(self._recent) if self._recent else None

    def advance(self, seconds: float) -> None:
        """Let so much time of the clock pass."""
        if self._share is not None:
            self._balance = min(self._balance + self._share * seconds, self._share * CREDIT_SECONDS)

    def charge(self, cpu_seconds: float, *, usual: bool = True) -> None:
        """Pay for a round; what it cost is expected of the next unless it was not a ``usual`` one."""
        if self._share is not None:
            self._balance -= cpu_seconds
        if usual:
            self._recent.append(cpu_seconds)

    def to_json(self, *, in_flight: bool = False) -> dict[str, Any]:
        """Return what ``restore`` needs; a round ``in_flight`` is lost with the process, and paid for nevertheless."""
        owed = (self.usual_seconds or 0.0) if in_flight and self._share is not None else 0.0
        return {"balance": self._balance - owed, "recent": list(self._recent)}

    def restore(self, value: Mapping[str, Any]) -> None:
        """Go on from what ``to_json`` returned."""
        self._balance = float(value["balance"]) if self._share is not None else 0.0
        self._recent = deque(map(float, value["recent"]), maxlen=REMEMBERED)
