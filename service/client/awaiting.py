"""The client that awaits."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
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


class AsyncClient(Configured):
    """A server's interface as coroutines of asyncio: the methods of ``Client``, which says what each does.

    Any number of them can be awaited at once; ``max_connections`` are under way.
    """

    def _open(self) -> None:
        self._http = httpx.AsyncClient(**self._options.http())
        # httpx's own queue is searched at every turn: with thousands of tasks in it that is all that happens.
        self._places = asyncio.Semaphore(self._options.max_connections)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def predict(self, instances: Iterable[Any], *, explain: bool = False) -> PredictAnswer:
        """See ``Client.predict``."""
        return await self._answer(self._options.predict(instances, explain=explain))

    async def predict_many(self, instances: Iterable[Any], *, batch_size: int = BATCH_SIZE) -> AsyncIterator[Answered]:
        """See ``Client.predict_many``."""
        for first, batch in in_batches(instances, batch_size):
            steps = predict_all(batch, first, self._options.predict, self._options.retries)
            for answered in await self._run(steps):
                yield answered

    async def send_events(self, events: Iterable[Any], *, resend: bool = False) -> EventsAnswer:
        """See ``Client.send_events``."""
        return await self._answer(self._options.send_events(events, resend=resend))

    async def send_many(
        self, events: Iterable[Any], *, batch_size: int = BATCH_SIZE, resend: bool = False
    ) -> EventsAnswer:
        """See ``Client.send_many``."""
        sending = Sending(self._options.send_events, self._options.retries, resend=resend)
        for first, batch in in_batches(events, batch_size):
            await self._run(sending.batch(batch, first))
        return sending.taken

    async def status(self) -> StatusAnswer:
        """See ``Client.status``."""
        return await self._answer(calls.STATUS)

    async def checkpoints(self) -> tuple[CheckpointEntry, ...]:
        """See ``Client.checkpoints``."""
        return await self._answer(calls.CHECKPOINTS)

    async def checkpoint(self, checkpoint_id: str) -> Manifest:
        """See ``Client.checkpoint``."""
        return await self._answer(calls.checkpoint(checkpoint_id))

    async def promote(self, checkpoint_id: str, *, reason: str | None = None) -> PromoteAnswer:
        """See ``Client.promote``."""
        return await self._answer(calls.promote(checkpoint_id, reason=reason))

    async def pin(self, checkpoint_id: str, *, reason: str | None = None) -> PinAnswer:
        """See ``Client.pin``."""
        return await self._answer(calls.pin(checkpoint_id, reason=reason))

    async def unpin(self, *, reason: str | None = None) -> UnpinAnswer:
        """See ``Client.unpin``."""
        return await self._answer(calls.unpin(reason=reason))

    async def history(self, limit: int = 100) -> tuple[HistoryEntry, ...]:
        """See ``Client.history``."""
        return await self._answer(calls.history(limit))

    async def ready(self) -> Health:
        """See ``Client.ready``."""
        return await self._answer(calls.READY)

    async def healthy(self) -> Health:
        """See ``Client.healthy``."""
        return await self._answer(calls.HEALTHY)

    async def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """See ``Client.wait_until_ready``."""
        await self._run(until_ready(timeout_seconds, time.monotonic))

    async def _answer(self, call: Call[T]) -> T:
        return await self._run(attempts(call, self._options.retries))

    async def _run(self, steps: Steps[T]) -> T:
        """Do what the steps say, awaiting."""
        try:
            step = next(steps)
            while True:
                if not isinstance(step, Call):
                    await asyncio.sleep(step)
                    step = next(steps)
                    continue
                try:
                    async with self._places:
                        response = await self._http.request(**sent(step))
                except httpx.RequestError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as done:
            answer: T = done.value
            return answer
