"""Shows servers the newest challenger, promoted or not: for `serve.shadow`, and only where it asks for one."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import structlog

from service.model.learned import LearnedModel
from service.settings import Settings
from service.settings.beside import CHALLENGER
from service.store.challengers import leave_challenger, sweep_challengers
from service.store.checkpoints import Checkpoint
from service.store.clock import utc_text
from service.store.fingerprint import model_fingerprint, schema_fingerprint
from service.store.manifest import Manifest, fresh_id
from service.train.round import Round
from service.validate.gate import Decision

log = structlog.get_logger(__name__)


class ChallengerShow:
    """Leaves what the gate rejected in the store, in a thread of its own: no publication waits for it.

    It leaves one at a time, then the newest that waits; those in between are passed over. What the gate promotes lies
    among the checkpoints already.
    """

    def __init__(self, settings: Settings, fence: int) -> None:
        self._settings = settings
        self._fence = fence
        self._wanted = CHALLENGER in settings.serve.shadow.candidates
        self._waiting: _Rejected | None = None
        self._changed = threading.Condition()
        self._trouble: str | None = None
        self._thread: threading.Thread | None = None

    def show(self, given: Round, decision: Decision, model: LearnedModel | None, lineage: str | None) -> None:
        """Leave what a rejected round has brought, soon; does nothing where nobody asks for it.

        ``lineage`` is the root that it descends from; without one, or without a model, there is nothing to leave.
        """
        if not self._wanted or model is None or lineage is None:
            return
        with self._changed:
            self._waiting = _Rejected(given, decision, model, lineage)
            self._changed.notify()
        if self._thread is None:
            # At a stop it is left behind, however slow the disk: what it writes need not become whole.
            self._thread = threading.Thread(target=self._run, name="challengers", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._attempt(lambda: sweep_challengers(self._settings.store.path))
        while True:
            with self._changed:
                while self._waiting is None:
                    self._changed.wait()
                rejected, self._waiting = self._waiting, None
            self._attempt(partial(self._leave, rejected))

    def _leave(self, rejected: "_Rejected") -> None:
        leave_challenger(self._settings.store.path, self._checkpoint(rejected))

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do it, or say once why it cannot be done: it is not worth a stop."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the next challenger may fare better
            trouble = str(error) or type(error).__name__
            if trouble != self._trouble:
                log.warning("challengers cannot be shown to servers", problem=trouble)
            self._trouble = trouble
        else:
            self._trouble = None

    def _checkpoint(self, rejected: "_Rejected") -> Checkpoint:
        given, decision = rejected.given, rejected.decision
        manifest = Manifest(
            id=fresh_id(given.number),
            round=given.number,
            parent=given.parent,
            lineage=rejected.lineage,
            created_at=utc_text(time.time()),
            trained_until=utc_text(given.trained_until_ms / 1_000) if given.trained_until_ms else None,
            trigger=given.trigger,
            gate={"decision": decision.decision, "reason": decision.reason, "numbers": decision.numbers},
            schema_fingerprint=schema_fingerprint(self._settings),
            model_fingerprint=model_fingerprint(self._settings),
            fence=self._fence,
        )
        return Checkpoint(manifest, rejected.model.weights(), rejected.model.encoder.to_json())


class _Rejected(NamedTuple):
    given: Round
    decision: Decision
    model: LearnedModel
    lineage: str
