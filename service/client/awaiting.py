"""The client that awaits."""

from asyncio import Semaphore, sleep
from collections.abc import AsyncIterator, Iterable
from functools import partial
from time import monotonic
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
        # httpx looks at every connection of a pool, several times, at every request: with many of them that is most of
        # what it does. So each pool has one connection here, and the one used last is used next.
        self._form = self._options.http(max_connections=1)
        self._places = Semaphore(self._options.max_connections)
        self._free: list[httpx.AsyncClient] = []
        self._closed = False

    async def aclose(self) -> None:
        """Close all connections, those of calls under way once they have their answer."""
        self._closed = True
        while self._free:
            await self._free.pop().aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def predict(self, instances: Iterable[Any], *, explain: bool = False) -> PredictAnswer:
        """See ``Client.predict``."""
        return await self._answer(self._options.predict(instances, explain=explain))

    async def predict_many(
        self, instances: Iterable[Any], *, batch_size: int = BATCH_SIZE, explain: bool = False
    ) -> AsyncIterator[Answered]:
        """See ``Client.predict_many``."""
        predict = partial(self._options.predict, explain=explain)
        for first, batch in in_batches(instances, batch_size):
            for answered in await self._run(predict_all(batch, first, predict, self._options.retries)):
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
        await self._run(until_ready(timeout_seconds, monotonic))

    async def _answer(self, call: Call[T]) -> T:
        return await self._run(attempts(call, self._options.retries))

    async def _run(self, steps: Steps[T]) -> T:
        """Do what the steps say, awaiting."""
        try:
            step = next(steps)
            while True:
                if not isinstance(step, Call):
                    await sleep(step)
                    step = next(steps)
                    continue
                try:
                    response = await self._send(step)
                except httpx.RequestError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as done:
            answer: T = done.value
            return answer

    async def _send(self, call: Call[Any]) -> httpx.Response:
        """Send a call on a connection that nobody uses meanwhile; raises httpx.RequestError."""
        async with self._places:
            http = self._connection()
            try:
                return await http.request(**sent(call))
            finally:
                self._free.append(http)
                if self._closed:
                    await self.aclose()

    def _connection(self) -> httpx.AsyncClient:
        if self._closed:
            raise RuntimeError("this client has been closed")
        return self._free.pop() if self._free else httpx.AsyncClient(**self._form)
