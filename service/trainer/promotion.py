"""A round's way through the trainer: due -> training -> judged -> (publishing ->) adopted, or rejected, or failed."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, replace
from functools import partial

import structlog

from service.errors import LeaseLostError, RoundFailedError, SourceUnavailableError, StoreError, StoreUnavailableError
from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.observer import Observer
from service.store.manifest import fresh_id
from service.train.round import Outcome, Round
from service.trainer.breaker import Breaker
from service.trainer.intake import Intake, Refused, total_weight
from service.trainer.publisher import Publisher
from service.trainer.report import (
    alarm_entry,
    decision_entry,
    failure_entry,
    suspicion_entry,
    tell,
    tell_alarm,
    tell_suspicion,
)
from service.trainer.rounds import RoundRunner
from service.trainer.state_store import state_of
from service.validate.gate import REJECT, Decision, outcome_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Publication:
    """A candidate on its way out: what it came from, and what must be undone should it not arrive."""

    task: Future[None]
    candidate: Candidate
    checkpoint_id: str
    refused: list[Refused]
    outcome: Outcome
    events: int


class Promotion:
    """Carries one round at a time from its trigger to its end; ``advance`` is called often and never waits.

    ``scribe`` is the thread of everything that is written to the store, one after the other; ``publications`` counts
    those that ended.
    """

    def __init__(
        self,
        learner: Learner,
        intake: Intake,
        publisher: Publisher,
        runner: RoundRunner,
        scribe: ThreadPoolExecutor,
        observer: Observer,
        breaker: Breaker,
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
        self._context = copy_context()
        self.publications = 0
        self._breaker = breaker

    @property
    def publishing(self) -> bool:
        """Whether a candidate is on its way out, so that what is saved now must already know it."""
        return self._publishing is not None

    @property
    def refused_bytes(self) -> int:
        """The size of the refused records that wait for their place in a publication on its way."""
        return total_weight(self._publishing.refused) if self._publishing is not None else 0

    @property
    def idle(self) -> bool:
        """Whether no round is in flight."""
        return self._training is None and self._publishing is None

    @property
    def stage(self) -> str | None:
        """What the round in flight is at: ``training`` or ``publishing``; None without one."""
        return "publishing" if self._publishing is not None else "training" if self._training is not None else None

    def advance(self, now: float, *, may_begin: bool, overruled: bool = False) -> None:
        """Take note of what has ended, and begin a round if one is due; ``now`` is of the steady clock.

        ``overruled`` tells that an operator's promotion waits to be taken over: what the round in flight brings was
        compared with a champion that is none any more.
        """
        self._learner.triggers.tick(now)
        for alarm in self._learner.drift_monitor.take_alarms():
            tell_alarm(alarm)
            self._write(alarm_entry(alarm))
        for turn in self._learner.speculation.take_turns():
            tell_suspicion(turn)
            self._write(suspicion_entry(turn))
        if self._training is not None and self._training.done():
            self._in_context(self._judge, self._training, overruled)
        if self._publishing is not None and self._publishing.task.done():
            self._in_context(self._adopt, self._publishing)
        if self.idle and may_begin and self._breaker.lets(now):
            reason = self._learner.due(now)
            if reason is not None:
                given = self._learner.begin_round(reason, now)
                self._context = _context_of(given, self._observer)
                self._training = self._trainer.submit(self._context.copy().run, self._runner.run, given)

    def finish(self) -> None:
        """Wait for the round in flight, whose worker was stopped, and for a publication: half of one helps nobody."""
        self._trainer.shutdown(wait=True)
        if self._publishing is not None:
            self._publishing.task.exception()
            self._in_context(self._adopt, self._publishing)

    def _in_context(self, work: Callable[..., None], *given: object) -> None:
        """Do something about the round in flight: log lines that come of it carry its ids."""
        self._context.copy().run(work, *given)

    def _judge(self, training: Future[Outcome], overruled: bool) -> None:  # noqa: FBT001 - handed through
        self._training = None
        learner, given, events = self._learner, self._learner.in_flight, self._learner.in_flight_events
        began = time.perf_counter()
        try:
            outcome = training.result()
            decision, candidate = learner.conclude(outcome)
        except RoundFailedError as error:
            learner.abandon(diverged=error.cause == "not_finite")
            self._fail(given, error.cause, str(error))
            return
        except Exception as error:
            log.exception("a round ended in a way that nobody foresaw")
            learner.abandon(diverged=True)
            self._fail(given, "error", f"{type(error).__name__}: {error}")
            return
        self._observer.phase_ended("validate", time.perf_counter() - began)
        self._observer.trained(outcome.training_loss)
        if overruled and candidate is not None:
            decision, candidate = replace(decision, decision=REJECT, reason="overruled"), None
        self._observer.decided(decision.decision, decision.reason)
        if candidate is None:
            frozen = learner.roles.frozen
            root = frozen.checkpoint_id if frozen else None
            self._publisher.challengers.show(given, decision, learner.judged, root)
            self._end(decision, given, outcome, None)
        else:
            self._publish(candidate, outcome, events)

    def _publish(self, candidate: Candidate, outcome: Outcome, events: int) -> None:
        checkpoint_id = fresh_id(candidate.given.number)
        refused = self._intake.take_refused()
        state = state_of(self._learner, (candidate, checkpoint_id))
        keep = [one for one in self._learner.roles.ids().values() if one is not None]
        publish = partial(self._publisher.publish, candidate, checkpoint_id, state, refused, keep)
        task = self._scribe.submit(copy_context().run, publish)
        self._publishing = Publication(task, candidate, checkpoint_id, refused, outcome, events)

    def _adopt(self, given: Publication) -> None:
        self._publishing = None
        self.publications += 1
        try:
            given.task.result()
        except LeaseLostError:
            raise
        except (StoreError, SourceUnavailableError) as error:
            self._intake.give_back(given.refused)
            self._learner.new_events += given.events
            self._fail(given.candidate.given, "store", f"{given.checkpoint_id} could not be published: {error}")
            return
        self._learner.adopt(given.candidate, given.checkpoint_id)
        decision, inputs = given.candidate.decision, given.candidate.given
        self._end(decision, inputs, given.outcome, given.checkpoint_id)

    def _end(self, decision: Decision, given: Round, outcome: Outcome, checkpoint_id: str | None) -> None:
        """Count and tell a round that came to its decision."""
        self._breaker.reset()
        how = outcome_of(decision)
        if how is not None:
            self._learner.outcomes[how] += 1
            self._observer.round_ended(how)
        self._observer.round_over(given.number, how or decision.reason, checkpoint_id)
        means = self._learner.prequential.means()
        tell(decision, given, checkpoint_id, means)
        entry = decision_entry(decision, given, outcome, checkpoint_id, means)
        self._write(entry | {"trigger_detail": self._learner.triggers.sentence})

    def _fail(self, given: Round, cause: str, problem: str) -> None:
        """Count a failed round, and pause before the next: whatever broke it needs time, and a person."""
        self._learner.outcomes["failed"] += 1
        self._observer.round_ended("failed")
        self._observer.round_over(given.number, "failed", cause=cause)
        pause = self._breaker.failed(time.monotonic(), problem)
        log.warning("round failed; the champion stays", round=given.number, problem=problem, next_try_seconds=pause)
        self._write(failure_entry(given, cause, problem) | {"trigger_detail": self._learner.triggers.sentence})

    def _write(self, entry: dict[str, object]) -> None:
        """Append to the journal in the background; a journal that cannot be written is not worth a stop."""

        def append() -> None:
            try:
                self._publisher.record(entry)
            except StoreUnavailableError as error:
                log.warning("decision could not be written down", problem=str(error))

        self._scribe.submit(copy_context().run, append)


def _context_of(given: Round, observer: Observer) -> Context:
    """Return the context of a round: what logs in it carries the round's number, and the ids of its trace."""
    context = copy_context()
    context.run(structlog.contextvars.bind_contextvars, round=given.number)
    context.run(observer.round_began, given.number, given.trigger, given.parent)
    return context
