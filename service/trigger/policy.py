"""When a round starts: the policies, in the order in which their reasons are told, and what makes them wait."""

from collections.abc import Callable
from dataclasses import dataclass

from service.settings import Trigger
from service.trigger.signals import Signals


@dataclass(frozen=True)
class Call:
    """A call for a round: why, as a word for metrics and as a sentence with the numbers."""

    reason: str
    sentence: str


NEW_CONCEPT = "new_concept"

MOST_DOUBLINGS = 64
"""Beyond any bound that can be set, and a number still."""

Policy = Callable[[Trigger, Signals], Call | None]


def due(settings: Trigger, signals: Signals) -> Call | None:
    """Return the call to start a round now, or None."""
    call = wanted(settings, signals)
    return None if call is not None and held(settings, signals) is not None else call


def wanted(settings: Trigger, signals: Signals) -> Call | None:
    """Return the first call of any policy, whether or not the budget lets a round start."""
    return next((call for policy in POLICIES if (call := policy(settings, signals)) is not None), None)


def held(settings: Trigger, signals: Signals) -> str | None:
    """Say why a round must wait though it is called for; None if it need not. The budget is a ceiling for all."""
    if settings.budget_share is None or signals.balance_seconds >= 0:
        return None
    wait = -signals.balance_seconds / settings.budget_share
    text = f"training has used its {settings.budget_share:.0%} of a core, the next round may begin in {_seconds(wait)}"
    bound = settings.max_staleness_seconds
    if bound is not None and signals.unserved_seconds + wait + signals.round_seconds > bound:
        text += (
            f"; until then trigger.max_staleness_seconds ({_seconds(bound)}) cannot be kept, the oldest event has "
            f"waited {_seconds(signals.unserved_seconds)}: raise trigger.budget_share, or the bound"
        )
    return text


def spacing(settings: Trigger, signals: Signals) -> float:
    """Return how many times wider than usual rounds are spaced, since they keep bringing nothing."""
    doublings = max(
        _doublings(signals.rejected_rounds, settings.backoff_rounds),
        _doublings(signals.idle_rounds, settings.backoff_idle_rounds),
    )
    return 1.0 if signals.first else min(2.0**doublings, settings.backoff_max)


def _doublings(rounds: int, patience: int | None) -> int:
    """Return 1 once patience is at an end, and one more with every half as many rounds."""
    if patience is None or rounds < patience:
        return 0
    return min(1 + (rounds - patience) // max(patience // 2, 1), MOST_DOUBLINGS)


def _enough_events(settings: Trigger, signals: Signals) -> Call | None:
    if signals.new_events < spaced_events(settings, signals):
        return None
    sentence = f"{signals.new_events:,} new events (trigger.every_events: {settings.every_events:,})"
    return Call("first_events" if signals.first else "new_events", sentence + _because(settings, signals))


def _window_full(_settings: Trigger, signals: Signals) -> Call | None:
    if not signals.window_full:
        return None
    return Call("window_full", "the window is full of events that no round was trained on (window.overflow: wait)")


def _new_concept(settings: Trigger, signals: Signals) -> Call | None:
    """At once: nothing was published under suspicion, and the champion does no better than guessing."""
    if not signals.changed or signals.first or signals.new_events < settings.min_events:
        return None
    sentence = f"a suspicion has ended: what arrives is a new concept, {signals.new_events:,} new events"
    return Call(NEW_CONCEPT, sentence)


def _drift_alarm(settings: Trigger, signals: Signals) -> Call | None:
    kinds = [kind for kind in settings.on_drift if kind in signals.alarms]
    if not kinds or signals.first or not _enough_to_be_early(settings, signals):
        return None
    sentence = f"{' and '.join(kinds)} drift was found since the last round began, {signals.new_events:,} new events"
    return Call("drift_alarm", sentence + _because(settings, signals))


def _score_fall(settings: Trigger, signals: Signals) -> Call | None:
    fall = signals.fall
    if not fall.fallen or signals.first or not _enough_to_be_early(settings, signals):
        return None
    sentence = (
        f"the champion's loss rose from {fall.loss_before:.4g} to {fall.newest_loss:.4g} on the newest "
        f"{fall.newest_events:,} events ({fall.z:.1f} standard errors), {signals.new_events:,} new events"
    )
    return Call("score_fall", sentence + _because(settings, signals))


def _stale(settings: Trigger, signals: Signals) -> Call | None:
    """In time for the bound; after a round that was rejected when there is something new to say, and in time again."""
    bound = settings.max_staleness_seconds
    if bound is None or (signals.first and signals.new_events < settings.min_events):
        return None
    again = signals.new_events >= settings.min_events and spacing(settings, signals) == 1
    waited = max(signals.untried_seconds, signals.unserved_seconds if again else 0.0)
    if not waited or waited + signals.round_seconds < bound:
        return None
    return Call(
        "staleness",
        f"an event has waited {_seconds(waited)} for a checkpoint that was trained on it, and a round takes about "
        f"{_seconds(signals.round_seconds)} (trigger.max_staleness_seconds: {bound:g})",
    )


def _elapsed(settings: Trigger, signals: Signals) -> Call | None:
    if signals.new_events < settings.min_events:
        return None
    if signals.since_seconds < settings.every_seconds * spacing(settings, signals):
        return None
    sentence = (
        f"{_seconds(signals.since_seconds)} since the last round began (trigger.every_seconds: "
        f"{settings.every_seconds:g}), {signals.new_events:,} new events"
    )
    return Call("elapsed", sentence + _because(settings, signals))


POLICIES: tuple[Policy, ...] = (
    _enough_events,
    _window_full,
    _new_concept,
    _drift_alarm,
    _score_fall,
    _stale,
    _elapsed,
)
"""The first that calls gives the reason."""


def spaced_events(settings: Trigger, signals: Signals) -> float:
    """Return how many new events are enough for a round; never more, for a back-off, than the window can hold."""
    wider = min(settings.every_events * spacing(settings, signals), signals.window_events)
    return max(wider, settings.every_events)


def _enough_to_be_early(settings: Trigger, signals: Signals) -> bool:
    least = max(settings.early_events, settings.min_events) * spacing(settings, signals)
    return signals.new_events >= min(least, spaced_events(settings, signals))


def _because(settings: Trigger, signals: Signals) -> str:
    wider = spacing(settings, signals)
    if wider == 1:
        return ""
    rounds = max(signals.rejected_rounds, signals.idle_rounds)
    return f", spaced {wider:g} times as wide after {rounds} rounds in a row that brought nothing"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - two digits are enough
