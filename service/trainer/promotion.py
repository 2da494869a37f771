"""A round's way through the trainer: due -> training -> judged -> (publishing ->) adopted, or rejected, or failed."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from service.errors import LeaseLostError, RoundFailedError, SourceUnavailableError, StoreError, StoreUnavailableError
from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.learner.state import capture
from service.observer import Observer
from service.store.manifest import fresh_id
from service.train.round import Outcome
from service.trainer.intake import Intake, Refused
from service.trainer.publisher import Publisher
from service.trainer.report import decision_entry, failure_entry, tell
from service.trainer.rounds import RoundRunner

log = structlog.get_logger(__name__)

LONGEST_PAUSE_SECONDS = 60.0

Publication = tuple[Future[None], Candidate, str, list[Refused]]


class Promotion:
    """Carries one round at a time from its trigger to its end; ``advance`` is called often and never waits.

    ``scribe`` is the thread of everything that is written to the store, one after the other.
    """

    def __init__(
        self,
        learner: Learner,
        intake: Intake,
        publisher: Publisher,
        runner: RoundRunner,
        scribe: ThreadPoolExecutor,
        observer: Observer,
    ) -> None:
        self._learner = learner
        self._intake = intake
        self._publisher = publisher
        self._runner = runner
        self._scribe = scribe
        self._observer = observer
        self._trainer = ThreadPoolExecutor(1, thread_name_prefix="round")
        self._training: Future[Outcome] | None = None
        self._publishing: Publication | None = None
        self._next_at = 0.0
        self._failures = 0

    @property
    def publishing(self) -> bool:
        """Whether a candidate is on its way out, so that what is saved now must already know it."""
        return self._publishing is not None

    def advance(self, now: float) -> None:
        """Take note of what has ended, and begin a round if one is due; ``now`` is of the steady clock."""
        if self._training is not None and self._training.done():
            self._judge(self._training)
        if self._publishing is not None and self._publishing[0].done():
            self._adopt(self._publishing)
        if self._training is None and self._publishing is None and now >= self._next_at:
            reason = self._learner.due(now)
            if reason is not None:
                self._training = self._trainer.submit(self._runner.run, self._learner.begin_round(reason, now))

    def finish(self) -> None:
        """Wait for the round in flight, whose worker was stopped, and for a publication: half of one helps nobody."""
        self._trainer.shutdown(wait=True)
        if self._publishing is not None:
            self._publishing[0].exception()
            self._adopt(self._publishing)

    def _judge(self, training: Future[Outcome]) -> None:
        self._training = None
        learner, given = self._learner, self._learner.in_flight
        try:
            outcome = training.result()
        except RoundFailedError as error:
            learner.abandon()
            self._fail(str(error))
            self._write(failure_entry(given, error.cause, str(error)))
            return
        self._failures = 0
        began = time.perf_counter()
        decision, candidate = learner.conclude(outcome)
        self._observer.phase_ended("validate", time.perf_counter() - began)
        self._observer.trained(outcome.trained[0].training_loss)
        self._observer.decided(decision.decision, decision.reason)
        checkpoint_id = None
        if candidate is None:
            self._end("rejected")
        else:
            checkpoint_id = fresh_id(given.number)
            self._publish(candidate, checkpoint_id)
        means = learner.prequential.means()
        tell(decision, given, checkpoint_id, means)
        self._write(decision_entry(decision, given, outcome, checkpoint_id, means))

    def _publish(self, candidate: Candidate, checkpoint_id: str) -> None:
        refused = self._intake.take_refused()
        state = capture(self._learner, (candidate, checkpoint_id))
        keep = [one for one in self._learner.roles.ids().values() if one is not None]
        task = self._scribe.submit(self._publisher.publish, candidate, checkpoint_id, state, refused, keep)
        self._publishing = (task, candidate, checkpoint_id, refused)

    def _adopt(self, publication: Publication) -> None:
        task, candidate, checkpoint_id, refused = publication
        self._publishing = None
        try:
            task.result()
        except LeaseLostError:
            raise
        except (StoreError, SourceUnavailableError) as error:
            self._intake.give_back(refused)
            self._fail(f"checkpoint {checkpoint_id} could not be published: {error}")
            return
        first = self._learner.roles.champion is None
        self._learner.adopt(candidate, checkpoint_id)
        if not first:
            self._end("promoted")

    def _end(self, outcome: str) -> None:
        self._learner.outcomes[outcome] += 1
        self._observer.round_ended(outcome)

    def _fail(self, problem: str) -> None:
        """Count a failed round, and pause before the next: whatever broke it needs time, and a person."""
        self._end("failed")
        pause = min(2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self._next_at = time.monotonic() + pause
        log.warning("round failed; the champion stays", problem=problem, next_try_seconds=pause)

    def _write(self, entry: dict[str, object]) -> None:
        """Append to the journal in the background; a journal that cannot be written is not worth a stop."""

        def append() -> None:
            try:
                self._publisher.record(entry)
            except StoreUnavailableError as error:
                log.warning("decision could not be written down", problem=str(error))

        self._scribe.submit(append)
