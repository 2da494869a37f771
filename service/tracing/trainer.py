"""The parts of a trainer that tracing replaces."""

from collections.abc import Callable
from typing import NamedTuple

from service.observer import Observer
from service.settings import Settings
from service.tracing.needs import require_tracing


class TrainerParts(NamedTuple):
    """What a trainer is joined from, traced or not; ``close`` sends what is left, in bounded time."""

    observer: Observer
    close: Callable[[], None]


def trainer_parts(settings: Settings, observer: Observer) -> TrainerParts:
    """Return the parts of a trainer whose events of note go to ``observer``; raises as ``require_tracing`` does."""
    require_tracing(settings)
    if not settings.telemetry.traces:
        return TrainerParts(observer, lambda: None)
    from service.tracing.rounds import traced_trainer  # noqa: PLC0415 - needs the extra

    return TrainerParts(*traced_trainer(settings, observer))
