"""Rounds on a recording: trained in this process, in no time of the virtual clock."""

import time
from dataclasses import replace

import structlog

from service.errors import RoundFailedError
from service.learner.learner import Learner
from service.learner.telling import decision_fields, failure_fields
from service.replay.decisions import DecisionLog
from service.replay.tally import Tally
from service.train.fit import train_round
from service.train.round import Outcome, Round
from service.trainer.breaker import Breaker
from service.validate.gate import ROLLBACK, outcome_of

log = structlog.get_logger(__name__)


class Rounds:
    """Carries out the rounds that are due, one after the other; ``seconds`` is what their training took."""

    def __init__(self, learner: Learner, tally: Tally, decisions: DecisionLog) -> None:
        self.seconds = 0.0
        self._learner = learner
        self._tally = tally
        self._decisions = decisions
        self._breaker = Breaker(learner.settings.train.worker)

    def advance(self, now_seconds: float) -> None:
        """Train, judge and publish a round if one is due at this virtual time."""
        if not self._breaker.lets(now_seconds):
            return
        reason = self._learner.due(now_seconds)
        if reason is None:
            return
        given = self._learner.begin_round(reason, now_seconds)
        began = time.perf_counter()
        try:
            # So that a budget holds rounds back in the same places every time, and on every machine.
            outcome = replace(train_round(given), cpu_seconds=self._learner.settings.trigger.assumed_round_seconds)
        except RoundFailedError as error:
            self._fail(given, error.cause, str(error), now_seconds)
        except Exception as error:  # noqa: BLE001 - whatever a round raises fails it, as in the worker of a live trainer
            self._fail(given, "error", f"{type(error).__name__}: {error}", now_seconds)
        else:
            self._judge(given, outcome, now_seconds)
        self.seconds += time.perf_counter() - began

    def _judge(self, given: Round, outcome: Outcome, now_seconds: float) -> None:
        learner = self._learner
        decision, candidate = learner.conclude(outcome)
        self._breaker.reset()
        self._tally.decided(decision.decision, decision.reason)
        checkpoint_id = None
        if candidate is not None:
            checkpoint_id = f"{given.number:06d}"
            learner.adopt(candidate, checkpoint_id)
        ended = outcome_of(decision)
        if ended is not None:
            learner.outcomes[ended] += 1
            self._tally.round_ended(ended)
        self._tally.shares.offer(learner.counts["accepted"], learner.portfolio.by_name())
        fields = decision_fields(decision, given, outcome, checkpoint_id, learner.prequential.means())
        fields["trigger_detail"] = learner.triggers.sentence
        fields["training_wall_seconds"] = outcome.seconds
        self._write("rollback" if decision.decision == ROLLBACK else "round", now_seconds, fields)

    def _fail(self, given: Round, cause: str, problem: str, now_seconds: float) -> None:
        self._learner.abandon(diverged=cause == "not_finite")
        self._learner.outcomes["failed"] += 1
        self._tally.round_ended("failed")
        self._tally.failures[cause] += 1
        self._breaker.failed(now_seconds, problem)
        log.warning("round failed; the champion stays", round=given.number, problem=problem)
        self._write("round", now_seconds, {"decision": "failed", **failure_fields(given, cause, problem)})

    def _write(self, kind: str, now_seconds: float, fields: dict[str, object]) -> None:
        self._decisions.write(kind, self._learner.counts["accepted"], now_seconds, fields)
