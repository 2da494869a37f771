"""Spans of a trainer: each round, with its phases as children.

The worker does no network I/O, so its time is told by the trainer: the phase `train` is what the worker measured.
"""

import time
from collections.abc import Callable

import structlog
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context

from service.observer import Observer
from service.settings import Settings
from service.tracing import names
from service.tracing.both import Both
from service.tracing.ids import ids_of
from service.tracing.sending import Sending

NANOSECONDS = 1_000_000_000


def traced_trainer(settings: Settings, observer: Observer) -> tuple[Observer, Callable[[], None]]:
    """Return the parts of a traced trainer, in the order of ``trainer.TrainerParts``."""
    sending = Sending(settings.telemetry, "trainer")
    spans = RoundSpans(sending.tracer)

    def close() -> None:
        spans.close()
        sending.close()

    return Both(observer, spans), close


class RoundSpans(Observer):
    """Makes a span of the one round that is under way; its hooks come from several threads, one after the other."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._round: Span | None = None

    def round_began(self, number: int, trigger: str, parent: str | None) -> None:
        """Begin a round's span; log lines of the round carry its ids."""
        self._round = self._tracer.start_span(names.ROUND, context=Context())
        self._round.set_attribute(names.ROUND_NUMBER, number)
        self._round.set_attribute(names.ROUND_TRIGGER, trigger)
        if parent is not None:
            self._round.set_attribute(names.ROUND_PARENT, parent)
        structlog.contextvars.bind_contextvars(**ids_of(self._round))

    def phase_ended(self, phase: str, seconds: float) -> None:
        """Make a child of a phase that has just ended."""
        if self._round is None:
            return
        now = time.time_ns()
        context = set_span_in_context(self._round, Context())
        self._tracer.start_span(phase, context=context, start_time=now - int(seconds * NANOSECONDS)).end(now)

    def charged(self, cpu_seconds: float) -> None:
        """Note what training cost."""
        self._note(names.ROUND_CPU_SECONDS, cpu_seconds)

    def trained(self, loss: float) -> None:
        """Note the training loss."""
        self._note(names.ROUND_LOSS, loss)

    def decided(self, decision: str, reason: str) -> None:
        """Note what the gate said."""
        self._note(names.GATE_DECISION, decision)
        self._note(names.GATE_REASON, reason)

    def worker_restarted(self, cause: str) -> None:
        """Note that the worker is started again."""
        if self._round is not None:
            self._round.add_event(names.WORKER_RESTARTED, {names.WORKER_CAUSE: cause})

    def round_over(self, number: int, outcome: str, checkpoint_id: str | None = None, cause: str | None = None) -> None:  # noqa: ARG002
        """End the round's span."""
        self._note(names.ROUND_OUTCOME, outcome)
        if checkpoint_id is not None:
            self._note(names.CHECKPOINT, checkpoint_id)
        if cause is not None and self._round is not None:
            self._note(ERROR_TYPE, cause)
            self._round.set_status(StatusCode.ERROR)
        if self._round is not None:
            self._round.end()
        self._round = None

    def close(self) -> None:
        """End the span of a round that the trainer's stop cut off."""
        if self._round is not None:
            self.round_over(0, "abandoned")

    def _note(self, name: str, value: str | float) -> None:
        if self._round is not None:
            self._round.set_attribute(name, value)
