"""Gathers from the store, and from what serves, all that the status page shows. Reads files: not for the event loop."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from service import __version__
from service.errors import StoreError
from service.serve.inspection import stale_after_seconds
from service.serve.page.forms import DriftTold, FeatureDrift, OverviewAnswer, Scores, Served
from service.serve.page.history import acts, notices, rounds
from service.serve.predictor import Predictor, Serving
from service.serve.schemas import Latest, Pinned
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.store.clock import utc_text
from service.store.course import COURSE, read_course
from service.store.journal import DECISIONS, Journal
from service.store.operations import OPERATIONS
from service.store.pin import read_pin
from service.store.status import STATUS, read_status

ENTRIES = 60
"""Of the journal, from its end: enough for the last rounds even where drift is found again and again."""

MOST_ACTS = 6
MOST_FEATURES = 200
MODEL = "model"
"""What stands in the place of a feature where drift is of the model itself."""

Stamp = tuple[int, int, int]
T = TypeVar("T")


class Collector:
    """Belongs to one thread at a time. What has not changed in the store since is not read again."""

    def __init__(self, settings: Settings, store: CheckpointStore, predictor: Predictor) -> None:
        self._settings = settings
        self._store = store
        self._predictor = predictor
        self._held: dict[str, tuple[Stamp, Any]] = {}

    def collect(self) -> OverviewAnswer:
        """Return how things stand; what cannot be read of the store is left out, the trouble then says why."""
        settings, current = self._settings, self._predictor.current
        path = settings.store.path
        pointer, pin = _readable(self._store.latest), _readable(lambda: read_pin(path))
        trainer: dict[str, Any] | None = self._read(STATUS, lambda _: read_status(path), None)
        none: list[dict[str, Any]] = []
        journal, operations = self._read(DECISIONS, _tail, none), self._read(OPERATIONS, _tail, none)
        told = None if trainer is None else {name: value for name, value in trainer.items() if name != "drift"}
        return OverviewAnswer(
            task=current.model.task if current else settings.task,
            model_name=settings.serve.model_name,
            version=__version__,
            serving=_served(current) if current else None,
            latest=Latest(**asdict(pointer)) if pointer else None,
            pinned=Pinned(**asdict(pin)) if pin else None,
            trouble=self._predictor.trouble,
            trainer=told,
            heard_at=utc_text(self._held[STATUS][0][0] / 1e9) if trainer is not None else None,
            stale_after_seconds=stale_after_seconds(settings),
            scores=self._read(COURSE, lambda _: Scores(**asdict(read_course(path))), None) or _no_scores(),
            rounds=rounds(journal),
            notices=notices(journal),
            by_hand=acts(operations[: -MOST_ACTS - 1 : -1]),
            drift=_drift(trainer.get("drift"), trainer.get("worth_an_alarm")) if trainer is not None else None,
        )

    def _read(self, name: str, read: Callable[[Path], T], absent: T) -> T:
        """Return what ``read`` makes of a file of the store, as long as it is the same without reading it again."""
        path = self._settings.store.path / name
        try:
            found = path.stat()
        except OSError:
            self._held.pop(name, None)
            return absent
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if name not in self._held or self._held[name][0] != stamp:
            self._held[name] = stamp, _readable(lambda: read(path))
        content: T | None = self._held[name][1]
        return absent if content is None else content


def _readable(look: Callable[[], T | None]) -> T | None:
    with suppress(StoreError):
        return look()
    return None


def _tail(path: Path) -> list[dict[str, Any]]:
    return Journal(path).tail(ENTRIES)


def _no_scores() -> Scores:
    return Scores(at_ms=[], events=[], champion=[], frozen=[], previous=[], promoted=[], lag=[])


def _served(current: Serving) -> Served:
    return Served(
        id=current.checkpoint_id,
        since=utc_text(current.since_seconds),
        created_at=current.manifest.created_at,
        trained_until=current.manifest.trained_until,
    )


def _drift(told: object, worth_an_alarm: object) -> DriftTold | None:
    """Return the trainer's drift by feature, None where it has told of none."""
    if not isinstance(told, Mapping):
        return None
    kinds = {kind: _scores(told.get(kind)) for kind in ("psi", "missing", "unseen", "prediction", "concept", "alarms")}
    names = dict.fromkeys(name for kind in ("psi", "missing", "unseen") for name in kinds[kind])
    by_score = sorted(names, key=lambda name: -kinds["psi"].get(name, -1.0))
    return DriftTold(
        features=[
            FeatureDrift(feature=name, **{kind: kinds[kind].get(name) for kind in ("psi", "missing", "unseen")})
            for name in by_score[:MOST_FEATURES]
        ],
        count=len(names),
        prediction=kinds["prediction"].get(MODEL),
        concept=kinds["concept"].get(MODEL),
        alarms={kind: int(count) for kind, count in kinds["alarms"].items()},
        worth_an_alarm=_scores({MODEL: worth_an_alarm}).get(MODEL),
    )


def _scores(told: object) -> dict[str, float]:
    """Return the numbers among what was told, whatever else stands there."""
    if not isinstance(told, Mapping):
        return {}
    numbers = {str(name): value for name, value in told.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
