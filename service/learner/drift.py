"""Shows the drift monitor what arrives, tells of its alarms, and takes the reference of a champion to be."""

from collections.abc import Mapping

from service.drift.monitor import DriftMonitor
from service.drift.reference import Reference
from service.model.features import FeatureColumns
from service.model.learned import LearnedModel
from service.observer import Observer
from service.records import Examples, FloatArray, Scores
from service.settings import Settings
from service.window.holdings import Holdings


def watch(monitor: DriftMonitor, observer: Observer, arrived: Examples, champion: Scores, before: int) -> None:
    """Let the monitor see events that the champion has scored; ``before`` were accepted earlier."""
    for alarm in monitor.observe(arrived, champion, before):
        observer.alarmed(alarm.kind, alarm.feature, alarm.score, alarm.event)


def reference_of(settings: Settings, columns: FeatureColumns, window: Examples) -> Reference:
    """Return what the features of later events are compared with, once a model trained on the ``window`` serves."""
    numbers, stretch = columns.summary(window.numbers), settings.drift.window_events
    until = int(window.timestamps_ms.max())
    return Reference.of(columns.watched, numbers, columns.categorical, window.codes, stretch=stretch, until_ms=until)


def outputs_of(model: LearnedModel, holdings: Holdings) -> FloatArray | None:
    """Return what a model predicts for the newest held-out events: what to expect of it; None if there are none."""
    recent = holdings.recent()
    return model.score(recent).predicted if len(recent) else None


def plain_drift(scores: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    """Return the monitor's scores by kind, then by feature."""
    found: dict[str, dict[str, float]] = {"psi": {}}
    for (feature, kind), score in scores.items():
        found.setdefault(kind, {})[feature] = score
    return found
