"""One connection to a client, with a deadline for whatever the client owes: uvicorn alone waits for ever.

| owed | until | then |
|---|---|---|
| the rest of a request's head | ``head_seconds`` from its first byte, or from the connection's begin | 408, closed |
| the rest of a body | ``body_seconds`` from the head's end (the route itself answers 408 a little earlier) | closed |
| the next request | ``keep_alive_seconds`` from the last answer | closed |
| that it reads its answer | some progress every STALLED_SECONDS | cut off |

What ``Wire`` does not take is answered with problem details, too, and the connection closed.
"""

import asyncio
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from service.serve.problems import problem
from service.serve.wire import Wire

STALLED_SECONDS = 20.0
ROUTE_FIRST_SECONDS = 1.0
RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections may cost: how many there are, and how long each may keep us waiting."""

    connections: int
    head_bytes: int
    head_seconds: float
    body_seconds: float
    keep_alive_seconds: float


Owed = tuple[Literal["head", "body"], int]
"""What part, and of which request: the how many-eth to begin on this connection."""


class Connection(Wire):
    """uvicorn's connection with the deadlines above; ``limits`` is set by a subclass."""

    limits: ClassVar[Limits]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.head_limit_bytes = self.limits.head_bytes
        self._owed: Owed | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._refusal: tuple[HTTPStatus, str] | None = None
        self.idle_since = time.monotonic()  # the loop's own clock may count milliseconds, which many share

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin, unless there are too many connections and all of them are busy."""
        super().connection_made(transport)
        self._watch_progress(0)
        if len(self.connections) > self.limits.connections and not self._make_room():
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections; come back later")
        else:
            self._owe(("head", self._begun))
            self._look_later(0.0)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; no timer outlives the connection."""
        self._owe(None)
        if self._progress is not None:
            self._progress.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, and note what it owes now."""
        super().data_received(data)
        if self.reading is None and self.idle:  # blank bytes, or the rest of a body that was answered before
            self._owe(("head", self._begun))
        else:
            self._owe(self._still_owed())

    def on_response_complete(self) -> None:
        """Note that the client may begin anew, or has begun already; whoever waits in line is next."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.idle_since = time.monotonic()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.flow.resume_reading()
            if self._refusal is not None:
                self._answer_refusal(*self._refusal)
        if self.reading is not None or self._owed is not None:
            self._owe(self._still_owed())

    def timeout_keep_alive_handler(self) -> None:
        """Close if the connection has been idle for long enough, else look again when it may have been."""
        left = self.limits.keep_alive_seconds - (time.monotonic() - self.idle_since) if self.idle else 0.0
        if self.idle and left <= 0 and self.reading is None:
            self.transport.close()
        else:
            self._look_later(left)

    def _look_later(self, left_seconds: float) -> None:
        # One timer a connection, not one a request.
        seconds = left_seconds if left_seconds > 0 else self.limits.keep_alive_seconds
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """Let the timer run on: it looks for itself whether the connection is idle."""

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer without the application, as far as an answer is still possible, and close.

        What was asked for before is answered first; nothing more is heard.
        """
        self._deaf = True
        if self.reading == "body" and self.pipeline:
            faulty, _ = self.pipeline.popleft()
            faulty.response_complete = True  # by the refusal that is to come
            self._refusal = status, detail
        elif self.reading == "body":
            if self.cycle.response_complete:
                self.transport.close()  # it has its answer
            else:
                self._answer_refusal(status, detail)
        elif self.cycle is not None and not self.cycle.response_complete:
            self._refusal = status, detail
        else:
            self._answer_refusal(status, detail)

    @property
    def idle(self) -> bool:
        """Whether no request is under way; one whose head is incomplete is none yet."""
        return (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing()

    def _still_owed(self) -> Owed | None:
        if self.reading is None or self.transport.is_closing():
            return None
        return self.reading, self._begun

    def _owe(self, owed: Owed | None) -> None:
        """Set the deadline for what is owed; more bytes of the same thing do not put it off."""
        if owed == self._owed:
            return
        self._owed = owed
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if owed is not None:
            body_seconds = self.limits.body_seconds + ROUTE_FIRST_SECONDS
            seconds = body_seconds if owed[0] == "body" else self.limits.head_seconds
            self._deadline = self.loop.call_later(seconds, self._overdue, owed[0])

    def _overdue(self, owed: str) -> None:
        if self.transport.is_closing():
            return
        if owed == "head" and self.reading == "head":
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"no whole request within {self.limits.head_seconds:g} s")
        elif self.idle:
            self.transport.close()
        else:
            self.cycle.keep_alive = False  # closed after the answer

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; return False if none is."""
        others = [other for other in self.connections if isinstance(other, Connection) and other is not self]
        idle = min((other for other in others if other.idle), key=lambda other: other.idle_since, default=None)
        if idle is not None:
            idle.transport.close()
        return idle is not None

    def _watch_progress(self, waiting_bytes: int) -> None:
        """Cut the connection off if nothing of its answer has been read since the last look."""
        now_bytes = self.transport.get_write_buffer_size()
        if now_bytes and now_bytes >= waiting_bytes > 0:
            self.transport.abort()
        else:
            self._progress = self.loop.call_later(STALLED_SECONDS, self._watch_progress, now_bytes)

    def _answer_refusal(self, status: HTTPStatus, detail: str) -> None:
        request_id = uuid.uuid4().hex
        headers = {
            "Connection": "close",
            "X-Request-ID": request_id,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        answer = problem(status, detail, headers=headers, request_id=request_id)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            lines = [*self.server_state.default_headers, *answer.raw_headers]
            head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application hears it, and answers no more
            self.cycle.message_event.set()
        self.transport.close()
