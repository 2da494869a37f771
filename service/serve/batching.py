"""Requests that are there together are answered by one forward pass; nobody waits for company unless told to.

Small requests of a quick model are answered on the event loop: what has been asked within one turn of it is one batch.
The others take a thread, so that the loop stays free; while all threads are busy, what waits grows into larger batches.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np

from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.bounds import Places
from service.serve.instances import MAX_ERRORS
from service.serve.predictor import Serving
from service.serve.problems import FieldError, ProblemError, pointer
from service.settings import Serve

THREADS = 2
"""For large requests and slow models; more would only take turns with one another, and with the event loop."""

RETRY_AFTER_SECONDS = 1
BUSY_RETRY_AFTER_SECONDS = 2

Row = Sequence[Any]
"""What an instance was made of: its values in the order of the schema, None where missing; at least its categories."""

Listener = Callable[[Serving, FloatArray, IntArray, FloatArray, Sequence[Row | None]], None]
"""Told of what a batch asked for and was answered: model, numbers, codes, outputs, and the rows that it came from.

None stands for a row that is not at hand. On the event loop; be quick.
"""


class Question(NamedTuple):
    """What one request asks of one model, and where its answer goes."""

    serving: Serving
    numbers: FloatArray
    codes: IntArray
    answer: asyncio.Future[FloatArray]
    rows: Sequence[Row] | None


class Batcher:
    """Joins what is asked for at once. For the event loop's thread alone.

    ``places`` are those of all requests for answers, by whatever protocol; hold one while a request is under way.
    """

    def __init__(self, serve: Serve, observer: Observer) -> None:
        self.listeners: list[Listener] = []
        key = "serve.max_in_flight"
        self.places = Places(serve.max_in_flight, key, retry_after_seconds=BUSY_RETRY_AFTER_SECONDS)
        self._observer = observer
        self._most_waiting = serve.max_queue_instances
        self._waiting = 0
        threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="predict")
        self._inline = _Lane(self, serve, None, 1)
        self._threaded = _Lane(self, serve, threads, THREADS)

    async def outputs(
        self, serving: Serving, numbers: FloatArray, codes: IntArray, came_from: Sequence[Row] | None = None
    ) -> FloatArray:
        """Return what a model makes of numbers [n, width], NaN where missing, and codes [n, categorical].

        That is what ``LearnedModel.predict`` returns. ``came_from`` are the rows that they were made of, for listeners.
        Raises ProblemError: 422 if the model has no finite answer, 503 if too many instances wait already.
        """
        rows = len(numbers)
        if self._waiting and self._waiting + rows > self._most_waiting:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._waiting} instances wait for their answer, and at most {self._most_waiting} may "
                "(serve.max_queue_instances); send the request again later",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        lane = self._inline if rows <= serving.inline_rows else self._threaded
        answer: asyncio.Future[FloatArray] = asyncio.get_running_loop().create_future()
        self._waiting += rows
        try:
            lane.add(Question(serving, numbers, codes, answer, came_from))
            return await answer
        finally:
            self._waiting -= rows

    def attempt(self, batch: list[Question]) -> tuple[FloatArray | None, Exception | None]:
        """Return what the model makes of a batch, or what it raised; on the event loop, or in a thread."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers, which are refused afterwards
                return batch[0].serving.model.predict(*_joined(batch)), None
        except StopIteration as error:  # which no future takes
            return None, RuntimeError(f"the model raised {error!r}")
        except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything
            return None, error

    def deliver(self, batch: list[Question], outputs: FloatArray) -> None:
        """Hand everybody in a batch their part of the outputs [rows, outputs]."""
        self._observer.batched(len(outputs))
        sound = bool(np.isfinite(outputs).all())
        begin = 0
        for asked in batch:
            end = begin + len(asked.numbers)
            own = outputs[begin:end]
            begin = end
            if asked.answer.done():  # its request was cut off
                continue
            if sound or np.isfinite(own).all():
                asked.answer.set_result(own)
            else:
                asked.answer.set_exception(_overflow(own))
        if self.listeners:
            rows: list[Row | None] = []
            for asked in batch:
                rows += asked.rows or [None] * len(asked.numbers)
            for listener in self.listeners:
                listener(batch[0].serving, *_joined(batch), outputs, rows)


class _Lane:
    """Those that wait for one kind of answer, in order of arrival."""

    def __init__(self, batcher: Batcher, serve: Serve, threads: Executor | None, workers: int) -> None:
        self._batcher = batcher
        self._most_rows = serve.max_batch_instances
        self._wait_seconds = serve.batch_wait_seconds
        self._threads = threads
        self._workers = workers
        self._queue: deque[Question] = deque()
        self._rows = 0
        self._due: asyncio.Handle | None = None

    def add(self, asked: Question) -> None:
        """Take somebody in; they are answered in the next turn of the loop, or once a thread is free."""
        self._queue.append(asked)
        self._rows += len(asked.numbers)
        if self._due is None:
            loop = asyncio.get_running_loop()
            if self._wait_seconds and self._rows < self._most_rows:
                self._due = loop.call_later(self._wait_seconds, self._flush)
            else:
                self._due = loop.call_soon(self._flush)
        elif self._rows >= self._most_rows and isinstance(self._due, asyncio.TimerHandle):
            self._due.cancel()
            self._due = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._due = None
        if self._threads is None:
            batch = self._next()
            try:
                self._conclude(batch, *self._batcher.attempt(batch))
            finally:
                if self._queue:  # let the loop have its turn in between
                    self._due = asyncio.get_running_loop().call_soon(self._flush)
        else:
            while self._queue and self._workers > 0:
                self._workers -= 1
                self._start(self._next(), self._threads)

    def _next(self) -> list[Question]:
        """Take those in front that one model answers, as many as fit one batch, and at least the first."""
        first = self._queue.popleft()
        batch, rows = [first], len(first.numbers)
        most = self._most_rows if self._threads else min(self._most_rows, first.serving.inline_rows)
        while self._queue:
            following = self._queue[0]
            if following.serving is not first.serving or rows + len(following.numbers) > most:
                break
            rows += len(following.numbers)
            batch.append(self._queue.popleft())
        self._rows -= rows
        return batch

    def _start(self, batch: list[Question], threads: Executor) -> None:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(threads, self._batcher.attempt, batch)

        def ended(done: asyncio.Future[tuple[FloatArray | None, Exception | None]]) -> None:
            self._workers += 1
            if not done.cancelled():
                self._conclude(batch, *done.result())
            if self._queue and self._due is None:
                self._flush()

        work.add_done_callback(ended)

    def _conclude(self, batch: list[Question], outputs: FloatArray | None, error: Exception | None) -> None:
        if outputs is not None:
            self._batcher.deliver(batch, outputs)
        elif len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error or RuntimeError("a batch without an answer"))
        else:
            # One among them may be what the model fails at: nobody else is to pay for it.
            for asked in batch:
                if self._threads is None:
                    self._conclude([asked], *self._batcher.attempt([asked]))
                else:
                    self._workers -= 1
                    self._start([asked], self._threads)


def _joined(batch: list[Question]) -> tuple[FloatArray, IntArray]:
    if len(batch) == 1:
        return batch[0].numbers, batch[0].codes
    return np.concatenate([asked.numbers for asked in batch]), np.concatenate([asked.codes for asked in batch])


def _overflow(outputs: FloatArray) -> ProblemError:
    overflowed = np.flatnonzero(~np.isfinite(outputs).all(axis=1)).tolist()
    detail = "the model has no finite answer for these values"
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        detail,
        errors=[FieldError(pointer("instances", index), detail) for index in overflowed[:MAX_ERRORS]],
    )
