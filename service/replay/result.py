"""What came of a replay: the figures that summary, verdict, advice and report are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.replay.tally import Tally
from service.settings import Settings


@dataclass(frozen=True)
class Result:
    """A replay's outcome.

    ``rows`` read; ``seconds`` it took, ``training_seconds`` of it for rounds; ``virtual_seconds`` passed on the
    recording's own clock, which follows its events' times if it is ``timed``; ``pretrained`` is the checkpoint that
    served first, None where the first round made one; ``labels`` are those known, ``refused_labels`` some that were
    refused as unknown, with their events; ``suspicions`` are the newest spans of events in which learning was on trial,
    with their endings.
    """

    name: str
    settings: Settings
    tally: Tally
    rows: int
    seconds: float
    training_seconds: float
    virtual_seconds: float
    timed: bool
    pretrained: str | None
    labels: tuple[str, ...]
    refused_labels: Mapping[str, int]
    suspicions: Sequence[tuple[int, int, str | None]]

    @property
    def regression(self) -> bool:
        """Whether errors are absolute errors in label units, else shares of wrong labels."""
        return self.settings.task == "regression"

    def summary(self) -> dict[str, Any]:
        """Return the one object of ``--json``."""
        tally = self.tally
        return {
            "events": self.rows,
            **tally.figures(),
            "rounds": dict(tally.rounds),
            "drift": {"alarms": tally.alarms.total()},
            "dead_lettered": tally.refusals.total(),
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.rows / self.seconds, 1),
            "pretrained": self.pretrained,
            "scored": tally.scored_events,
            "suspicions": dict(sorted(tally.turns.items())),
            "alarms": dict(sorted(tally.alarms.items())),
            "decisions": {f"{decision}/{reason}": n for (decision, reason), n in sorted(tally.decisions.items())},
            "failures": dict(sorted(tally.failures.items())),
            "dead_letters": dict(sorted(tally.refusals.items())),
            "triggers": dict(sorted(tally.triggers.items())),
            "training_wall_seconds": round(self.training_seconds, 3),
        }

    def bought(self, over: str = "frozen") -> float | None:
        """Return how much smaller the champion's mean error is than another role's; None without events."""
        errors = self.tally.mean_errors()
        champion, other = errors["champion"], errors[over]
        return None if champion is None or other is None else other - champion
