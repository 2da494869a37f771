"""All that the policies look at, as numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fall:
    """The champion's mean loss on its newest events, against those before them since it was promoted.

    ``z`` is the difference in standard errors; ``fallen`` whether it is beyond chance.
    """

    fallen: bool = False
    newest_loss: float = 0.0
    loss_before: float = 0.0
    newest_events: int = 0
    events_before: int = 0
    z: float = 0.0


@dataclass(frozen=True)
class Signals:
    """What is known when it is asked whether a round is due. Times are of the driver's steady clock.

    ``new_events`` were accepted since the last round began, ``since_seconds`` ago, held-out ones too; ``first`` tells
    that there is no model yet, ``window_full`` that the next event would push an unlearnt one out of a window that is
    not to lose any; ``changed`` that a suspicion has ended since the last round began, since what arrives is a new
    concept; ``alarms`` are the kinds of drift that were found since the last round began.

    ``unserved_seconds`` is the age of the oldest learnable event that the champion was not trained on, as it stands in
    the window, and ``untried_seconds`` of the oldest that no round was that came to its decision; 0 without any.
    ``round_seconds`` is how long a round takes until it serves.

    ``balance_seconds`` of a processor the budget has left, negative when it is overdrawn. ``rejected_rounds`` in a row
    were rejected, and ``idle_rounds`` in a row brought no gain that could be shown.
    """

    new_events: int
    since_seconds: float
    first: bool = False
    window_full: bool = False
    window_events: int = 10_000_000
    changed: bool = False
    alarms: tuple[str, ...] = ()
    fall: Fall = Fall()
    unserved_seconds: float = 0.0
    untried_seconds: float = 0.0
    round_seconds: float = 0.0
    balance_seconds: float = 0.0
    rejected_rounds: int = 0
    idle_rounds: int = 0
