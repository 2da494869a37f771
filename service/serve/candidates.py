"""Finds and builds the checkpoints that run in the shadow, as the watcher does for the one that serves."""

import time
from dataclasses import dataclass, replace

import structlog

from service.errors import CheckpointMissingError, StoreError, StoreUnavailableError
from service.model.learned import LearnedModel
from service.serve.predictor import Predictor
from service.serve.watcher import build
from service.settings import Settings
from service.settings.beside import CHALLENGER, LATEST
from service.store.challengers import newest_candidate, read_challenger
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.fingerprint import difference, schema_values_of

NOTHING_YET = "there is none in the store yet"
IT_SERVES = "it is the checkpoint that serves"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a name of `serve.shadow.candidates` stands for now: a checkpoint with its model, or why it has none.

    ``since_seconds`` is the Unix time from which the model is asked, or nothing is, for the same reason.
    """

    name: str
    checkpoint_id: str | None
    model: LearnedModel | None
    since_seconds: float
    problem: str | None


class Candidates:
    """Follows each name to its checkpoint. For one thread; ``current`` may be read by any."""

    def __init__(self, settings: Settings, store: CheckpointStore, predictor: Predictor) -> None:
        self._settings = settings
        self._store = store
        self._predictor = predictor
        now = time.time()
        names = settings.serve.shadow.candidates
        self.current = {name: Candidate(name, None, None, now, "it has not been looked for yet") for name in names}
        self._unusable: dict[str, str] = {}
        self._compared: dict[str, tuple[LearnedModel, LearnedModel, str | None]] = {}

    def look(self) -> None:
        """Find each name's checkpoint, and build the model of those that are new."""
        for known in list(self.current.values()):
            try:
                found = self._found(known)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may fare better
                found = replace(known, model=None, problem=str(error) or type(error).__name__)
            self._set(known, found)

    def fault(self, candidate: Candidate, serving: LearnedModel) -> str | None:
        """Return ``mismatch`` of a candidate's model and one that has answered, found once for both."""
        compared = self._compared.get(candidate.name)
        if candidate.model is None or (compared and compared[0] is serving and compared[1] is candidate.model):
            return compared[2] if compared else None
        fault = mismatch(serving, candidate.model)
        self._compared[candidate.name] = serving, candidate.model, fault
        return fault

    def _found(self, known: Candidate) -> Candidate:
        wanted = self._resolve(known.name)
        if wanted is None:
            return replace(known, checkpoint_id=None, model=None, problem=NOTHING_YET)
        serving = self._predictor.current
        if serving is not None and wanted == serving.checkpoint_id:
            return replace(known, checkpoint_id=wanted, model=None, problem=IT_SERVES)
        model = known.model if wanted == known.checkpoint_id else None
        problem = self._unusable.get(wanted)
        if model is None and problem is None:
            model, problem = self._built(known.name, wanted)
        if model is not None and serving is not None:
            problem = mismatch(serving.model, model)
        return replace(known, checkpoint_id=wanted, model=model, problem=problem)

    def _resolve(self, name: str) -> str | None:
        """Return the id that a name stands for; raises StoreError."""
        if name == LATEST:
            pointer = self._store.latest()
            return pointer.id if pointer else None
        return newest_candidate(self._store.path) if name == CHALLENGER else name

    def _built(self, name: str, checkpoint_id: str) -> tuple[LearnedModel | None, str | None]:
        """Return a checkpoint's model, or why there is none; raises StoreError where the next look may help."""
        try:
            return build(self._settings, self._read(name, checkpoint_id))[0], None
        except (StoreUnavailableError, CheckpointMissingError):
            raise
        except StoreError as error:
            # It will not get better: remembered, so that it is not read over and over.
            kept = [one.checkpoint_id for one in self.current.values()]
            self._unusable = {known: why for known, why in self._unusable.items() if known in kept}
            self._unusable[checkpoint_id] = str(error)
            return None, str(error)

    def _read(self, name: str, checkpoint_id: str) -> Checkpoint:
        if name == CHALLENGER:
            try:
                return read_challenger(self._store.path, checkpoint_id)
            except CheckpointMissingError:
                pass  # promoted, so that it lies among the checkpoints
        return self._store.read(checkpoint_id)

    def _set(self, known: Candidate, found: Candidate) -> None:
        if found == known:
            return
        self.current[known.name] = replace(found, since_seconds=time.time())
        self._compared.pop(known.name, None)  # so that no model outlives its use
        if found.problem in (None, IT_SERVES):
            log.info("runs in the shadow", candidate=found.name, checkpoint=found.checkpoint_id, idle=found.problem)
        elif found.problem != known.problem:
            log.warning(
                "does not run in the shadow",
                candidate=found.name,
                checkpoint=found.checkpoint_id,
                problem=found.problem,
            )


def mismatch(serving: LearnedModel, candidate: LearnedModel) -> str | None:
    """Return why two models cannot be compared, None if they can: the same task, features and labels."""
    differs = difference(_asked_of(serving), _asked_of(candidate))
    return f"it cannot be compared with what serves: {differs}" if differs else None


def _asked_of(model: LearnedModel) -> dict[str, object]:
    # Which labels there are, in whatever order, is what the first checkpoint of a lineage has seen.
    return schema_values_of(model.task, model.encoder.schema) | {"labels": sorted(model.labels)}
