"""Follows the store's pin or pointer: reads, verifies and warms up a new checkpoint beside the running one, then swaps.

Whatever is wrong with a new checkpoint, or with the store, the one before it goes on serving.
"""

import math
import threading
import time
from typing import NamedTuple

import structlog

from service.errors import CheckpointDamagedError, CheckpointMissingError, StoreError, StoreUnavailableError
from service.model.features import FeatureColumns
from service.model.learned import LearnedModel
from service.observer import Observer
from service.serve.freshness import Freshness
from service.serve.predictor import Predictor, Serving, warm_up
from service.settings import Network, Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.clock import utc_seconds
from service.store.fingerprint import difference, model_values_of
from service.store.pin import PIN, Pin, read_pin
from service.store.pointer import LATEST, Pointer

NOTHING_YET = "no checkpoint has been published yet; the first round of training or `freshet pretrain` makes one"

Built = tuple[LearnedModel, int]
"""A model, and how many instances the event loop may let it answer."""


class Unreadable(NamedTuple):
    """A file that should name what serves, and what is wrong with it."""

    name: str
    problem: str


Target = Pin | Pointer | Unreadable | None
"""What is to be served: what is pinned, else what is pointed to; None before the first publication."""

log = structlog.get_logger(__name__)


class Watcher:
    """A thread that keeps ``predictor.current`` at the store's latest sound checkpoint.

    ``predictor.trouble`` says in one line why that is not what pin or pointer names, None if it is.
    """

    def __init__(self, settings: Settings, store: CheckpointStore, predictor: Predictor, observer: Observer) -> None:
        self._settings = settings
        self._store = store
        self._predictor = predictor
        self._observer = observer
        self._freshness = Freshness(store, observer)
        self._settled: Target = None
        self._trouble_with_settled: str | None = NOTHING_YET
        self._followed: Target = None
        self._passed_over: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Look once, then go on looking in the thread every ``serve.watch_seconds``."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what serves stays. Can be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def alive(self) -> str | None:
        """Return None while the thread lives, else what that means."""
        return None if self._thread.is_alive() else "the watcher's thread has ended: new checkpoints go unseen"

    def look(self) -> None:
        """Look at pin and pointer, and serve what they name if that is new."""
        try:
            target = self._target()
            if target is not None or self._predictor.current is None:  # else it has become another, an empty one
                self._observer.store_reached()
            self._observer.published(is_published=target is not None)
            if target != self._settled:
                self._trouble_with_settled = self._follow(target)
                self._settled = target
            trouble = self._trouble_with_settled
            if target is None:
                self._freshness.nothing_published()
            self._freshness.settle()
        except (
            StoreError
        ) as error:  # away, or a checkpoint not yet visible on a network file system: the next look helps
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, what serves must go on and be followed up
            trouble = f"{type(error).__name__}: {error}"
        if trouble != self._predictor.trouble:
            self._tell(trouble)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.serve.watch_seconds):
            self.look()

    def _target(self) -> Target:
        """Return the pin if there is one, else the pointer; None if there is neither yet."""
        name = PIN
        try:
            pin = read_pin(self._settings.store.path)
            if pin is not None:
                return pin
            name = LATEST
            return self._store.latest()
        except CheckpointDamagedError as error:
            return Unreadable(name, str(error))

    def _follow(self, target: Target) -> str | None:
        """Serve what the target names; return why not, if not."""
        if target != self._followed:
            self._passed_over.clear()
            self._followed = target
            unreadable_pin = isinstance(target, Unreadable) and target.name == PIN
            self._observer.pinned(is_pinned=isinstance(target, Pin) or unreadable_pin)
        if target is None:
            return NOTHING_YET
        if isinstance(target, Pin):
            return self._follow_pin(target)
        if self._predictor.current is None:
            self._serve_newest_sound()
        if isinstance(target, Unreadable):
            self._pass_over(target.name, CheckpointDamagedError(target.problem))
        elif self._predictor.current is None or target.id != self._predictor.current.checkpoint_id:
            self._serve(target.id)
        return next(iter(self._passed_over.values()), None)

    def _follow_pin(self, pin: Pin) -> str | None:
        """Serve what is pinned, else go on with what serves, and only at the start with another one."""
        missing = None
        if self._predictor.current is None or pin.id != self._predictor.current.checkpoint_id:
            try:
                self._serve(pin.id)
            except CheckpointMissingError as error:  # deleted by hand, or not yet visible: told again below
                missing = f"{pin.id} is pinned and not there: {error}"
        problem = next(iter(self._passed_over.values()), None)
        if self._predictor.current is None:
            self._serve_newest_sound()
        if missing is not None:
            raise CheckpointMissingError(missing)
        return problem and f"{pin.id} is pinned and cannot be served: {problem}"

    def _serve_newest_sound(self) -> None:
        """At the start an older checkpoint is better than none, whether the newer ones are damaged or unusable."""
        built: list[Built] = []
        self._observer.swap_began(None)
        checkpoint = self._store.newest_sound(
            self._pass_over, check=lambda found: built.append(build(self._settings, found))
        )
        if checkpoint is not None:
            self._swap_to(checkpoint, *built[-1])

    def _serve(self, checkpoint_id: str) -> None:
        self._observer.swap_began(checkpoint_id)
        try:
            checkpoint = self._store.read(checkpoint_id)
            built = build(self._settings, checkpoint)
        except (StoreUnavailableError, CheckpointMissingError):
            raise
        except StoreError as error:
            self._pass_over(checkpoint_id, error)
        else:
            self._swap_to(checkpoint, *built)

    def _swap_to(self, checkpoint: Checkpoint, model: LearnedModel, inline_rows: int) -> None:
        manifest = checkpoint.manifest
        if model.columns.names != FeatureColumns(self._settings.schema_).names:
            log.warning(
                "checkpoint has other features than the configuration; requests must have the checkpoint's",
                checkpoint=manifest.id,
                features=", ".join(model.columns.names),
            )
        until, now = manifest.trained_until, time.time()
        self._predictor.current = Serving(manifest.id, manifest, model, now, inline_rows)
        self._observer.serving(manifest.id, utc_seconds(manifest.created_at), utc_seconds(until) if until else math.nan)
        self._observer.swapped("swapped")
        log.info("checkpoint serves", checkpoint=manifest.id, round=manifest.round, trained_until=until)
        self._freshness.serves(manifest, now)

    def _pass_over(self, checkpoint_id: str, error: StoreError) -> None:
        if checkpoint_id not in self._passed_over:
            self._passed_over[checkpoint_id] = str(error)
            self._observer.swapped("damaged" if isinstance(error, CheckpointDamagedError) else "failed")
            log.warning("checkpoint passed over", checkpoint=checkpoint_id, problem=str(error))

    def _tell(self, trouble: str | None) -> None:
        """Log a trouble when it begins or ends, not at every look."""
        current = self._predictor.current
        serving = current.checkpoint_id if current else None
        if trouble == NOTHING_YET:
            log.info("waiting for the first checkpoint", store=str(self._store.path))
        elif trouble is not None and trouble not in self._passed_over.values():
            log.warning("store not followed", problem=trouble, serving=serving)
        elif trouble is None and self._predictor.trouble != NOTHING_YET:
            log.info("store followed again", serving=serving)
        self._predictor.trouble = trouble


def build(settings: Settings, checkpoint: Checkpoint) -> Built:
    """Return a checkpoint's model, warmed up; raises StoreError if there is none to be had of it."""
    try:
        network = Network.model_validate(checkpoint.encoder["network"])
        own = settings.train.model
        if network.module is not None or own.module is not None:
            _require_same(network, own)
        model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
        inline_rows = warm_up(model)
    except MemoryError:  # which passes, and says nothing about the checkpoint
        raise
    except Exception as error:
        # Sound by its digest, yet made by a program that we do not know.
        what = str(error) or type(error).__name__
        raise StoreError(f"checkpoint {checkpoint.manifest.id} cannot be built: {what}") from error
    return model, inline_rows


def _require_same(network: Network, own: Network) -> None:
    """Raise ValueError unless a network of the user's own is the one that this configuration names."""
    differs = difference(model_values_of(network), model_values_of(own))
    if differs:
        raise ValueError(f"its network is another than that of train.model ({differs})")
