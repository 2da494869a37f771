"""Sends a call until it is answered, as generators: they say what to send and when, and know no network.

Whoever runs them sends each ``Call`` that they yield and gives the answer back, or throws the transport's error in,
and waits for each number of seconds. So one course of events serves the client that blocks and the one that awaits.
"""

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx

from service.client import calls
from service.client.answers import Answered, EventsAnswer, PredictAnswer
from service.client.calls import Again, Call, answer_of
from service.client.errors import (
    FreshetClientError,
    FreshetHTTPError,
    NoAnswerError,
    TooLargeError,
    UnavailableError,
    UnreadableAnswerError,
)

T = TypeVar("T")
Steps = Generator[Call[Any] | float, Any, T]
Predict = Callable[[Sequence[Any], int], Call[PredictAnswer]]

UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
POLL_SECONDS = 0.2
JITTER = 0.25
"""Pauses are longer by up to this share, so that clients who were sent away together do not come back together."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is sent again, ``most`` times, and how long to wait before.

    A server's Retry-After is kept to, else the pause doubles from ``first_pause_seconds`` on; none is longer than
    ``longest_pause_seconds``. ``most=0``: every failure is raised at once.
    """

    most: int = 2
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.most < 0 or not self.first_pause_seconds > 0 or not self.longest_pause_seconds > 0:
            raise ValueError(f"{self}: most is at least 0, and pauses are above 0")

    def pause_seconds(self, attempt: int, asked_seconds: float | None) -> float:
        """Return how long to wait after an attempt, counted from 0, if the server asked for a time or not."""
        wanted = self.first_pause_seconds * 2**attempt if asked_seconds is None else asked_seconds
        return min(wanted * (1 + JITTER * random.random()), self.longest_pause_seconds)  # noqa: S311 - no secret


def attempts(call: Call[T], retries: Retries) -> Steps[T]:
    """Send a call, again where that can do no harm, and return its answer.

    Raises FreshetHTTPError, NoAnswerError, UnreadableAnswerError.
    """
    attempt = 0
    while True:
        failure: FreshetClientError
        try:
            response = yield call
        except httpx.RequestError as error:
            failure = _no_answer(call, error)
            failure.__cause__ = error
        else:
            try:
                return answer_of(call, response)
            except UnavailableError as error:
                failure = error
        if attempt == retries.most or not may_repeat(call.again, failure):
            raise failure
        asked = failure.retry_after_seconds if isinstance(failure, FreshetHTTPError) else None
        yield retries.pause_seconds(attempt, asked)
        attempt += 1


def may_repeat(again: Again, failure: FreshetClientError) -> bool:
    """Tell whether a call that failed so can be sent once more."""
    if isinstance(failure, NoAnswerError):
        return again is Again.ALWAYS or not failure.sent
    return isinstance(failure, UnavailableError) and again is not Again.IF_UNSENT


def predict_all(instances: Sequence[Any], first: int, predict: Predict, retries: Retries) -> Steps[list[Answered]]:
    """Predict a batch, in halves where the server finds it too large; raises as ``attempts`` does."""
    try:
        answer: PredictAnswer = yield from attempts(predict(instances, first), retries)
    except TooLargeError:
        if len(instances) == 1:
            raise
        middle = len(instances) // 2
        before = yield from predict_all(instances[:middle], first, predict, retries)
        return before + (yield from predict_all(instances[middle:], first + middle, predict, retries))
    if len(answer) != len(instances):
        raise UnreadableAnswerError(f"{len(instances)} instances were sent, {len(answer)} predictions came back")
    return [Answered(prediction, answer.checkpoint) for prediction in answer]


class SendEvents(Protocol):
    """Makes the call that hands events in."""

    def __call__(self, events: Iterable[Any], first: int = 0, *, resend: bool = False) -> Call[EventsAnswer]:
        """Return the call."""
        ...


class Sending:
    """Hands many events in, batch by batch; ``taken`` is what the server has taken so far."""

    def __init__(self, send: SendEvents, retries: Retries, *, resend: bool) -> None:
        self._send = send
        self._retries = retries
        self._resend = resend
        self.taken = EventsAnswer(accepted=0)

    def batch(self, events: Sequence[Any], first: int) -> Steps[None]:
        """Hand a batch in, in halves where the server finds it too large; raises as ``attempts`` does."""
        try:
            call = self._send(events, first, resend=self._resend)
            answer: EventsAnswer = yield from attempts(call, self._retries)
        except TooLargeError as error:  # said before any of them was kept
            if len(events) == 1:
                error.taken = self.taken
                raise
            middle = len(events) // 2
            yield from self.batch(events[:middle], first)
            yield from self.batch(events[middle:], first + middle)
        except FreshetClientError as error:
            error.taken = self.taken
            raise
        else:
            rejected = self.taken.rejected + answer.rejected
            self.taken = EventsAnswer(self.taken.accepted + answer.accepted, rejected)


def until_ready(timeout_seconds: float, clock: Callable[[], float]) -> Steps[None]:
    """Ask until the server is ready; raises what it said last, UnavailableError or NoAnswerError, once time is over."""
    deadline = clock() + timeout_seconds
    while True:
        try:
            health = yield from attempts(calls.READY, Retries(most=0))
        except (NoAnswerError, UnavailableError) as error:
            failure: FreshetClientError = error
        else:
            if health:
                return
            failure = UnavailableError(503, f"not ready: {health.detail}")
        if clock() >= deadline:
            raise failure
        yield POLL_SECONDS


def _no_answer(call: Call[Any], error: httpx.RequestError) -> FreshetClientError:
    words = str(error) or type(error).__name__
    asked = f"{call.method} {error.request.url.copy_with(query=None)}"
    if not isinstance(error, httpx.TransportError):
        return UnreadableAnswerError(f"the answer to {asked} cannot be read: {words}")
    if isinstance(error, UNSENT):
        return NoAnswerError(f"{asked} did not reach the server: {words}", sent=False)
    hint = "" if call.again is Again.ALWAYS else "; the server may have carried it out"
    return NoAnswerError(f"{asked} was not answered: {words}{hint}", sent=True)
