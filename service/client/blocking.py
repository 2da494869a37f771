"""The client that blocks."""

from collections.abc import Iterable, Iterator
from functools import partial
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from service.client import calls
from service.client.answers import (
    Answered,
    CheckpointEntry,
    EventsAnswer,
    Health,
    HistoryEntry,
    Manifest,
    PinAnswer,
    PredictAnswer,
    PromoteAnswer,
    StatusAnswer,
    UnpinAnswer,
)
from service.client.attempts import Sending, Steps, attempts, predict_all, until_ready
from service.client.calls import Call
from service.client.encoding import in_batches
from service.client.options import BATCH_SIZE, Configured, sent

T = TypeVar("T")


class Client(Configured):
    """A server's interface as methods that block; its connections are pooled, and threads may share it.

    Use it as a context manager, or call ``close``. See ``Configured`` for its arguments. Every method raises
    FreshetHTTPError, NoAnswerError or UnreadableAnswerError, and UnsendableError for what cannot be sent.
    """

    def _open(self) -> None:
        self._http = httpx.Client(**self._options.http(self._options.max_connections))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def predict(self, instances: Iterable[Any], *, explain: bool = False) -> PredictAnswer:
        """Return the predictions for mappings from features to values; all of them come from one checkpoint.

        ``explain`` asks for what each feature adds to each answer; the server limits for how many at once.
        """
        return self._answer(self._options.predict(instances, explain=explain))

    def predict_many(
        self, instances: Iterable[Any], *, batch_size: int = BATCH_SIZE, explain: bool = False
    ) -> Iterator[Answered]:
        """Yield prediction and checkpoint of each of any number of instances, in their order.

        ``batch_size`` instances go into one request, fewer where the server finds that too large (to explain, too); the
        model may change between two requests. Errors name an instance's place among all of them.
        """
        predict = partial(self._options.predict, explain=explain)
        for first, batch in in_batches(instances, batch_size):
            yield from self._run(predict_all(batch, first, predict, self._options.retries))

    def send_events(self, events: Iterable[Any], *, resend: bool = False) -> EventsAnswer:
        """Hand labelled events in, as mappings or ``Event``; return once they are durable.

        ``resend`` sends them again when the server said 503, or nothing. Nobody drops the doubles, also of an event
        with an ``id``: what was kept the first time is learnt from twice. Without it such a failure is raised, for
        you to choose between that and a loss.
        """
        return self._answer(self._options.send_events(events, resend=resend))

    def send_many(self, events: Iterable[Any], *, batch_size: int = BATCH_SIZE, resend: bool = False) -> EventsAnswer:
        """Hand any number of events in, as ``send_events`` does, ``batch_size`` a request.

        Indexes count from the first of all events. An error's ``taken`` tells what was taken before it.
        """
        sending = Sending(self._options.send_events, self._options.retries, resend=resend)
        for first, batch in in_batches(events, batch_size):
            self._run(sending.batch(batch, first))
        return sending.taken

    def status(self) -> StatusAnswer:
        """Return what serves, what the store points to, and how the trainer fares."""
        return self._answer(calls.STATUS)

    def checkpoints(self) -> tuple[CheckpointEntry, ...]:
        """Return the store's checkpoints, newest first."""
        return self._answer(calls.CHECKPOINTS)

    def checkpoint(self, checkpoint_id: str) -> Manifest:
        """Return where a checkpoint came from, and how the gate judged it."""
        return self._answer(calls.checkpoint(checkpoint_id))

    def promote(self, checkpoint_id: str, *, reason: str | None = None) -> PromoteAnswer:
        """Let servers answer from a checkpoint until the gate's next promotion; needs a token of role admin."""
        return self._answer(calls.promote(checkpoint_id, reason=reason))

    def pin(self, checkpoint_id: str, *, reason: str | None = None) -> PinAnswer:
        """Let every server answer from a checkpoint until ``unpin``; needs a token of role admin."""
        return self._answer(calls.pin(checkpoint_id, reason=reason))

    def unpin(self, *, reason: str | None = None) -> UnpinAnswer:
        """Let servers follow what is published again; needs a token of role admin."""
        return self._answer(calls.unpin(reason=reason))

    def history(self, limit: int = 100) -> tuple[HistoryEntry, ...]:
        """Return what operators promoted, pinned and unpinned, the newest first."""
        return self._answer(calls.history(limit))

    def ready(self) -> Health:
        """Return whether the server answers predictions, and if not, why."""
        return self._answer(calls.READY)

    def healthy(self) -> Health:
        """Return whether the server lives, and if not, what is wrong."""
        return self._answer(calls.HEALTHY)

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Return once the server answers predictions.

        Raises the last failure once the time is over: UnavailableError, or NoAnswerError if nobody answers.
        """
        self._run(until_ready(timeout_seconds, monotonic))

    def _answer(self, call: Call[T]) -> T:
        return self._run(attempts(call, self._options.retries))

    def _run(self, steps: Steps[T]) -> T:
        """Do what the steps say, blocking."""
        try:
            step = next(steps)
            while True:
                if not isinstance(step, Call):
                    sleep(step)
                    step = next(steps)
                    continue
                try:
                    response = self._http.request(**sent(step))
                except httpx.RequestError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as done:
            answer: T = done.value
            return answer
