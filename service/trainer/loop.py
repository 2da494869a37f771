"""The trainer's loop: one thread takes events in and decides; rounds and the store work in threads of their own.

Polling never waits for training or for the disk.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import structlog

from service.errors import LeaseLostError, SourceUnavailableError, StoreError
from service.ingest.source import EventSource
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.observer import Observer
from service.records import Partition
from service.settings import Settings
from service.store.lease_keeper import LeaseKeeper
from service.trainer.breaker import Breaker
from service.trainer.bulletin import Bulletin
from service.trainer.intake import Intake, Refused, total_weight
from service.trainer.promotion import Promotion
from service.trainer.publisher import Publisher
from service.trainer.report import Evictions, status_of
from service.trainer.rounds import RoundRunner
from service.trainer.state_store import state_of

log = structlog.get_logger(__name__)

STATE = "state"
"""The trouble of a state that cannot be saved."""

MOST_UNSAVED_RUNS = 2_000_000
"""Runs of offsets held in memory, 32 bytes each, while no state can be saved; beyond, polling waits for the disk."""

STUCK_SECONDS = 120.0
"""A loop that has not turned for so long hangs; no turn waits so long for a broker or a disk."""

LETTERS_SECONDS = 0.5
"""Refused records wait about so long in memory, shorter than a snapshot may take to come."""


class TrainerLoop:
    """Drives a learner from a live source until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        source: EventSource,
        learner: Learner,
        publisher: Publisher,
        runner: RoundRunner,
        keeper: LeaseKeeper,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._source = source
        self._learner = learner
        self._publisher = publisher
        self._runner = runner
        self._keeper = keeper
        self._observer = observer
        self._intake = Intake(settings.source, source, learner, observer)
        self._scribe = ThreadPoolExecutor(1, thread_name_prefix="scribe")
        self._breaker = Breaker(settings.train.worker)
        self._promotion = Promotion(learner, self._intake, publisher, runner, self._scribe, observer, self._breaker)
        self._saving: tuple[Future[None], tuple[dict[Partition, int], int], list[Refused]] | None = None
        self._reporting: tuple[Future[Standing | None], int] | None = None
        self._by_hand: tuple[Standing, int] | None = None
        self._clean = True
        self._saved_at: tuple[dict[Partition, int], int] | None = None
        self._save_at = self._report_at = 0.0
        self._troubles: dict[str, str] = {}
        self._evictions = Evictions(learner.counts["evicted_unlearnt"])
        self._bulletin = Bulletin(settings, learner, self._intake)
        self._saved_seconds: float | None = None
        self._turned_at = time.monotonic()

    @property
    def stuck(self) -> str | None:
        """That the loop hangs, in one line, so that somebody starts the trainer anew; None while it turns."""
        quiet = time.monotonic() - self._turned_at
        return f"the trainer hangs: its loop has not turned for {quiet:.0f} s" if quiet > STUCK_SECONDS else None

    @property
    def problem(self) -> str | None:
        """Why the trainer does not do its work now, in one line; None while it does."""
        return (
            self.stuck
            or next(iter(self._troubles.values()), None)
            or self._intake.problem
            or self._breaker.problem(time.monotonic())
            or self._runner.problem
        )

    def run(self, stop: Event) -> None:
        """Take events in and learn until ``stop`` is set.

        Raises LeaseLostError when another trainer took over; whatever happens, call ``close`` afterwards.
        """
        self._learner.start_clock(time.monotonic())
        self._source.seek(self._learner.positions, self._learner.topics)
        self._clean = False
        while not stop.is_set():
            self._turned_at = time.monotonic()
            pause = self._take_in()
            self._advance(time.monotonic())
            if pause:
                stop.wait(pause)
        self._clean = True

    def close(self, stop_worker: Callable[[], None]) -> None:
        """Stop in the order that loses nothing.

        1. The round in flight is abandoned; its events are new again in the snapshot.
        2. A publication in flight ends: it is short, and half of it would be finished by the next start anyway.
        3. The last snapshot is saved, and Kafka's committed offsets follow it; not after an error, which may have
           come between the state and the positions that it stands for.
        """
        stop_worker()  # 1
        try:
            self._promotion.finish()  # 2
            self._settle()
            if self._clean:
                self._save()  # 3
                self._settle()
        except LeaseLostError as error:
            log.warning("nothing more is saved", problem=str(error))
        self._scribe.shutdown(wait=True)

    def _settle(self) -> None:
        if self._saving is not None:
            self._saving[0].exception()
            self._saved()

    def _take_in(self) -> float:
        """Poll as much as what comes behind can take; return how long to pause before the next time."""
        if self._refused_bytes >= self._settings.trainer.refused_bytes:
            return self._intake.hold("dead_letters")
        if self._publisher.states.unsaved_runs >= MOST_UNSAVED_RUNS:
            return self._intake.hold("state")
        if self._settings.window.overflow != "wait" or self._paused:
            return self._intake.step()
        room = self._learner.room
        if not room and (not self._promotion.idle or self._called):
            return self._intake.hold("training")
        return self._intake.step(room or None)

    @property
    def _called(self) -> bool:
        """Whether a round is called for, even if the budget makes it wait."""
        return self._learner.due(time.monotonic()) is not None or self._learner.triggers.held is not None

    @property
    def _refused_bytes(self) -> int:
        """The size of the refused records in memory, wherever they are on their way to the dead letters."""
        saving = total_weight(self._saving[2]) if self._saving is not None else 0
        return saving + self._promotion.refused_bytes + self._publisher.unburied_bytes + self._intake.refused_bytes

    @property
    def _paused(self) -> bool:
        """Whether training is paused, by the breaker or since nothing can be saved; consumption goes on."""
        return self._breaker.is_open or STATE in self._troubles

    def _advance(self, now: float) -> None:
        self._keeper.check()
        by_hand = self._by_hand is not None
        may_begin = not by_hand and STATE not in self._troubles
        self._promotion.advance(now, may_begin=may_begin, overruled=by_hand)
        if self._by_hand is not None and self._promotion.idle:
            self._stand(*self._by_hand)
        if self._saving is not None and self._saving[0].done():
            self._saved()
        if self._reporting is not None and self._reporting[0].done():
            self._reported(*self._reporting)
        if self._saving is None and not self._promotion.publishing and now >= self._save_due():
            self._save_at = now + self._settings.trainer.snapshot_seconds
            self._save()
        if self._reporting is None and now >= self._report_at:
            self._report_at = now + self._settings.trainer.status_seconds
            self._report()

    def _save_due(self) -> float:
        """Return when to save next: refused records do not wait long for their place among the dead letters."""
        if not self._intake.refused_bytes:
            return self._save_at
        return min(self._save_at, self._save_at - self._settings.trainer.snapshot_seconds + LETTERS_SECONDS)

    def _save(self) -> None:
        positions = dict(self._learner.positions)
        now_at = (positions, self._learner.changes)
        if not positions or (now_at == self._saved_at and not self._intake.refused_bytes):
            return
        self._observer.snapshot_due()
        refused = self._intake.take_refused()
        task = self._scribe.submit(self._publisher.save, state_of(self._learner), refused)
        self._saving = (task, now_at, refused)

    def _saved(self) -> None:
        if self._saving is None:
            return
        (task, now_at, refused), self._saving = self._saving, None
        try:
            task.result()
        except LeaseLostError:
            raise
        except (StoreError, SourceUnavailableError) as error:
            self._intake.give_back(refused)
            self._trouble(STATE, str(error))
            return
        if self._well(STATE):
            self._breaker.reset()  # what could not be written before can be now
        self._saved_at, self._saved_seconds = now_at, time.time()
        try:
            self._source.commit(now_at[0])
        except SourceUnavailableError as error:
            log.debug("positions could not be committed; the snapshot has them", problem=str(error))

    def _report(self) -> None:
        learner, observer = self._learner, self._observer
        observer.held(*learner.holdings.sizes)
        observer.training_paused(paused=self._paused)
        observer.awaited(*learner.triggers.awaited)
        self._evictions.note(learner.counts["evicted_unlearnt"], time.monotonic())
        for role, (loss, error) in learner.prequential.means().items():
            observer.prequential(role, loss, error)
        drift = learner.drift_monitor.scores()
        for (feature, kind), score in drift.items():
            observer.drifted(feature, kind, score)
        observer.mixed(learner.portfolio.by_name())
        champion = learner.roles.champion
        if champion is not None and champion.reference.until_ms is not None:
            observer.compared_with(champion.reference.until_ms / 1_000)
        lag = self._source.lag()
        course = self._bulletin.note(time.monotonic(), lag)
        status = status_of(self._settings, learner, lag, drift, problem=self.problem, paused=self._paused)
        status |= self._bulletin.status(self._runner.worker, self._promotion.stage, self._saved_seconds)
        champion_id = champion.checkpoint_id if champion is not None else None
        task = self._scribe.submit(self._publisher.report, status, champion_id, course)
        self._reporting = (task, self._promotion.publications)

    def _reported(self, reporting: Future[Standing | None], publications: int) -> None:
        self._reporting = None
        try:
            promoted = reporting.result()
        except LeaseLostError:
            raise
        except StoreError as error:
            self._trouble("status", str(error))
            return
        self._observer.store_reached()
        self._well("status")
        if promoted is not None:
            self._by_hand = (promoted, publications)  # no new round begins until it is taken over

    def _stand(self, promoted: Standing, publications: int) -> None:
        """Take an operator's promotion over, unless the gate has promoted since: then the pointer is the gate's."""
        self._by_hand = None
        if publications == self._promotion.publications:
            self._learner.stand(promoted)
            log.info("an operator's promotion is taken over", checkpoint=promoted.checkpoint_id)

    def _trouble(self, what: str, problem: str) -> None:
        if what not in self._troubles:
            log.warning("cannot be written; trying again", what=what, problem=problem)
        self._troubles[what] = problem

    def _well(self, what: str) -> bool:
        """Note that something can be written; return whether it could not before."""
        recovered = self._troubles.pop(what, None) is not None
        if recovered:
            log.info("can be written again", what=what)
        return recovered
