"""The trainer's loop: one thread takes events in and decides; rounds and the store work in threads of their own.

Polling never waits for training or for the disk. A round's way: due -> training -> judged -> (publishing) -> adopted.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import structlog

from service.errors import LeaseLostError, RoundFailedError, SourceUnavailableError, StoreUnavailableError
from service.ingest.source import EventSource
from service.learner.learner import Candidate, Learner
from service.learner.roles import Standing
from service.learner.state import capture
from service.observer import Observer
from service.records import Partition
from service.settings import Settings
from service.train.round import Outcome
from service.trainer.intake import Intake, Refused
from service.trainer.publisher import Publisher
from service.trainer.report import decision_entry, failure_entry, status_of, tell
from service.trainer.rounds import RoundRunner

log = structlog.get_logger(__name__)

LONGEST_PAUSE_SECONDS = 60.0
MOST_REFUSED_WAITING = 10_000
"""Refused records held in memory; beyond, polling waits until the dead letters take them."""


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
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._source = source
        self._learner = learner
        self._publisher = publisher
        self._runner = runner
        self._observer = observer
        self._intake = Intake(settings.source, source, learner, observer)
        self._rounds = ThreadPoolExecutor(1, thread_name_prefix="round")
        self._scribe = ThreadPoolExecutor(1, thread_name_prefix="scribe")
        self._training: Future[Outcome] | None = None
        self._publishing: tuple[Future[None], Candidate, str, list[Refused]] | None = None
        self._saving: tuple[Future[None], dict[Partition, int], list[Refused]] | None = None
        self._reporting: Future[Standing | None] | None = None
        self._saved_positions: dict[Partition, int] | None = None
        self._save_at = self._report_at = self._train_at = 0.0
        # A report renews the lease, which must happen several times before it would lapse.
        self._report_seconds = min(settings.trainer.status_seconds, settings.trainer.lease_seconds / 4)
        self._failures = 0
        self._store_problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the trainer does not do its work now, in one line; None while it does."""
        return self._store_problem or self._intake.problem or self._runner.problem

    def run(self, stop: Event) -> None:
        """Take events in and learn until ``stop`` is set.

        Raises LeaseLostError when another trainer took over; whatever happens, call ``close`` afterwards.
        """
        self._learner.start_clock(time.monotonic())
        self._source.seek(self._learner.positions)
        while not stop.is_set():
            pause = self._intake.step() if self._may_poll() else self._settings.source.poll_timeout_seconds
            self._advance()
            if pause:
                stop.wait(pause)

    def close(self, stop_worker: Callable[[], None]) -> None:
        """Stop in the order that loses nothing.

        1. The round in flight is abandoned; its events are new again in the snapshot.
        2. A publication in flight ends: it is short, and half of it would be finished by the next start anyway.
        3. The last snapshot is saved, and Kafka's committed offsets follow it.
        """
        stop_worker()  # 1
        self._rounds.shutdown(wait=True)
        try:
            self._settle()  # 2
            self._save()  # 3
            self._settle()
        except LeaseLostError as error:
            log.warning("nothing more is saved", problem=str(error))
        self._scribe.shutdown(wait=True)

    def _settle(self) -> None:
        """Wait for what the store is doing, and take note of it."""
        if self._publishing is not None:
            self._publishing[0].exception()
            self._published()
        if self._saving is not None:
            self._saving[0].exception()
            self._saved()

    def _may_poll(self) -> bool:
        waiting = sum(len(refusals) for _, refusals in self._intake.refused)
        return waiting + self._publisher.unburied < MOST_REFUSED_WAITING

    def _save_due(self) -> float:
        """Return when to save next: refused records do not wait long for their place among the dead letters."""
        if not self._intake.refused:
            return self._save_at
        return min(self._save_at, self._save_at - self._settings.trainer.snapshot_seconds + LETTERS_SECONDS)

    def _advance(self) -> None:
        now = time.monotonic()
        if self._training is not None and self._training.done():
            self._trained(self._training)
        if self._publishing is not None and self._publishing[0].done():
            self._published()
        if self._saving is not None and self._saving[0].done():
            self._saved()
        if self._reporting is not None and self._reporting.done():
            self._reported(self._reporting)
        if self._training is None and self._publishing is None and now >= self._train_at:
            reason = self._learner.due(now)
            if reason is not None:
                self._training = self._rounds.submit(self._runner.run, self._learner.begin_round(reason, now))
        if self._saving is None and self._publishing is None and now >= self._save_due():
            self._save_at = now + self._settings.trainer.snapshot_seconds
            self._save()
        if self._reporting is None and now >= self._report_at:
            self._report_at = now + self._report_seconds
            self._report()

    def _trained(self, training: Future[Outcome]) -> None:
        self._training = None
        given = self._learner.in_flight
        try:
            outcome = training.result()
        except RoundFailedError as error:
            self._learner.abandon()
            self._fail(str(error))
            self._write(failure_entry(given, error.cause, str(error)))
            return
        self._failures = 0
        began = time.perf_counter()
        decision, candidate = self._learner.conclude(outcome)
        self._observer.phase_ended("validate", time.perf_counter() - began)
        self._observer.trained(outcome.trained[0].training_loss)
        self._observer.decided(decision.decision, decision.reason)
        checkpoint_id = None
        if candidate is None:
            self._end_round("rejected")
        else:
            checkpoint_id = self._publisher.checkpoints.new_id(given.number)
            self._publish(candidate, checkpoint_id)
        tell(decision, given, checkpoint_id, self._learner.prequential.means())
        self._write(decision_entry(decision, given, outcome, checkpoint_id, self._learner.prequential.means()))

    def _publish(self, candidate: Candidate, checkpoint_id: str) -> None:
        refused, self._intake.refused = self._intake.refused, []
        state = capture(self._learner, (candidate, checkpoint_id))
        keep = [one for one in self._learner.roles.ids().values() if one is not None]
        task = self._scribe.submit(self._publisher.publish, candidate, checkpoint_id, state, refused, keep)
        self._publishing = (task, candidate, checkpoint_id, refused)

    def _published(self) -> None:
        if self._publishing is None:
            return
        (task, candidate, checkpoint_id, refused), self._publishing = self._publishing, None
        try:
            task.result()
        except (StoreUnavailableError, SourceUnavailableError) as error:
            self._intake.refused[:0] = refused
            self._fail(f"checkpoint {checkpoint_id} could not be published: {error}")
            return
        first = self._learner.roles.champion is None
        self._learner.adopt(candidate, checkpoint_id)
        if not first:
            self._end_round("promoted")

    def _save(self) -> None:
        positions = dict(self._learner.positions)
        if not positions or (positions == self._saved_positions and not self._intake.refused):
            return
        refused, self._intake.refused = self._intake.refused, []
        task = self._scribe.submit(self._publisher.save, capture(self._learner), refused)
        self._saving = (task, positions, refused)

    def _saved(self) -> None:
        if self._saving is None:
            return
        (task, positions, refused), self._saving = self._saving, None
        try:
            task.result()
        except (StoreUnavailableError, SourceUnavailableError) as error:
            self._intake.refused[:0] = refused
            self._trouble(str(error))
            return
        self._saved_positions = positions
        try:
            self._source.commit(positions)
        except SourceUnavailableError as error:
            log.debug("positions could not be committed; the snapshot has them", problem=str(error))

    def _report(self) -> None:
        learner, observer = self._learner, self._observer
        observer.held(*learner.holdings.sizes)
        for role, (loss, error) in learner.prequential.means().items():
            observer.prequential(role, loss, error)
        drift = learner.drift()
        for feature, score in drift.items():
            observer.drifted(feature, "psi", score)
        champion = learner.roles.champion.checkpoint_id if learner.roles.champion else None
        status = status_of(self._settings, learner, self._source.lag(), drift, self.problem)
        self._reporting = self._scribe.submit(self._publisher.report, status, champion)

    def _reported(self, reporting: Future[Standing | None]) -> None:
        self._reporting = None
        try:
            promoted = reporting.result()
        except StoreUnavailableError as error:
            self._trouble(str(error))
            return
        if self._store_problem is not None:
            log.info("store answers again")
            self._store_problem = None
        if promoted is not None and self._publishing is None:
            self._learner.stand(promoted)
            log.info("an operator's promotion is taken over", checkpoint=promoted.checkpoint_id)

    def _write(self, entry: dict[str, object]) -> None:
        """Append to the journal in the background; a journal that cannot be written is not worth a stop."""

        def append() -> None:
            try:
                self._publisher.record(entry)
            except StoreUnavailableError as error:
                log.warning("decision could not be written down", problem=str(error))

        self._scribe.submit(append)

    def _end_round(self, outcome: str) -> None:
        self._learner.outcomes[outcome] += 1
        self._observer.round_ended(outcome)

    def _fail(self, problem: str) -> None:
        """Count a failed round, and pause before the next: whatever broke it needs time, and a person."""
        self._end_round("failed")
        pause = min(2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self._train_at = time.monotonic() + pause
        log.warning("round failed; the champion stays", problem=problem, next_try_seconds=pause)

    def _trouble(self, problem: str) -> None:
        if self._store_problem is None:
            log.warning("state cannot be saved; trying again", problem=problem)
        self._store_problem = problem
