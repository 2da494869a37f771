"""Load for an HTTP server from one core: prepared requests over kept connections, with sockets and epoll alone.

Closed loop: each connection sends its next request once the one before is answered. Open loop: requests are due at a
fixed rate; one that finds no free connection waits, and its time runs from when it was due. Every answer must have
status 200 and a Content-Length within bounds; each ``check_every``-th is read as well.
Measured against a server that only counts bytes (`ceiling.py`), so that it is known what the generator itself can do.
"""

import gc
import math
import select
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_ANSWERS = 4_000_000
MOST_FAILURES = 1_000
SILENCE_SECONDS = 30.0
BUFFER_BYTES = 2**20
OK = b"HTTP/1.1 200 "
LENGTH = b"content-length: "

Check = Callable[[int, bytes], str | None]
"""Given a request's place and the body of its answer, returns what is wrong with it, or None."""


@dataclass(frozen=True)
class Requests:
    """What is sent, and what an answer's Content-Length may be."""

    raw: Sequence[bytes]
    least_bytes: int
    most_bytes: int


@dataclass
class Outcome:
    """What a run told: latencies in seconds, how long it took, what failed, and how busy the generator's core was."""

    latencies: np.ndarray[tuple[int], np.dtype[np.float64]]
    seconds: float
    busy: float
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, q: float) -> float:
        """Return a quantile of the latency in milliseconds."""
        return float(np.quantile(self.latencies, q)) * 1_000


class _Plan:
    """When the next request is due, on the clock of perf_counter: at once in a closed loop, never once it is over."""

    def __init__(self, seconds: float, answers: int, rate: float | None) -> None:
        self.interval = 1 / rate if rate else 0.0
        self.sent = 0
        self._answers = answers
        self._began = time.perf_counter()
        self._end = self._began + seconds

    def due(self) -> float:
        """Return when the next request is due, infinity for never."""
        if self.sent >= self._answers:
            return math.inf
        due = self._began + self.sent * self.interval if self.interval else time.perf_counter()
        return due if due < self._end else math.inf

    def take(self) -> float:
        """Count the next request as sent; return when it was due."""
        due = self.due()
        self.sent += 1
        return due

    def over(self) -> bool:
        """Tell whether nothing more is to be sent."""
        return self.due() == math.inf


class _Connection:
    """One connection, and the request that is under way on it."""

    __slots__ = ("began", "data", "place", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.place = 0
        self.began = 0.0


class Load:
    """A number of connections to a port of this machine; ``run`` can be called again and again, then ``close``."""

    def __init__(
        self, port: int, requests: Requests, connections: int = 32, check: Check | None = None, check_every: int = 64
    ) -> None:
        self._port = port
        self._requests = requests
        self._check = check
        self._check_every = check_every
        self._next = 0
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()  # the one that has waited longest is next, so that none idles
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._latencies = array("d", bytes(8 * MOST_ANSWERS))
        for _ in range(connections):
            self._open()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.socket.close()
        self._epoll.close()

    def run(
        self,
        *,
        seconds: float = 3_600.0,
        answers: int = MOST_ANSWERS,
        rate: float | None = None,
        each: Callable[[int], None] | None = None,
    ) -> Outcome:
        """Send for so long, or until so many are answered; ``rate`` requests a second, or in a closed loop.

        ``each`` is told, after every turn, how many have been answered.
        """
        outcome = Outcome(np.empty(0), 0.0, 0.0)
        gc.collect()
        gc.disable()
        began, used = time.perf_counter(), time.process_time()
        done = self._drive(outcome, _Plan(seconds, min(answers, MOST_ANSWERS), rate), each)
        outcome.seconds = time.perf_counter() - began
        outcome.busy = (time.process_time() - used) / outcome.seconds
        gc.enable()
        outcome.latencies = np.array(self._latencies[:done])
        return outcome

    def _drive(self, outcome: Outcome, plan: _Plan, each: Callable[[int], None] | None) -> int:
        """Send and receive; return how many were answered."""
        clock, connections, free, latencies = time.perf_counter, self._connections, self._free, self._latencies
        done = 0
        while True:
            while free and plan.due() <= clock():
                self._send(free.popleft(), plan.take())
            if plan.over() and len(free) == len(connections):
                return done
            for number, _ in self._wait(plan):
                connection = connections[number]
                if self._receive(connection, outcome):
                    latencies[done] = clock() - connection.began
                    done += 1
                    free.append(connection)
                elif connection.socket.fileno() < 0:
                    plan.sent -= 1  # it is lost, and so is not one of the answers that are wanted
            if each is not None:
                each(done)

    def _wait(self, plan: _Plan) -> list[tuple[int, int]]:
        """Return the connections on which something has come, none if a request is due before."""
        if plan.interval and self._free and not plan.over():
            # epoll counts in milliseconds; select does not.
            select.select([self._epoll], [], [], max(0.0, plan.due() - time.perf_counter()))
            return self._epoll.poll(0)
        ready = self._epoll.poll(SILENCE_SECONDS)
        if not ready:
            raise TimeoutError("the server is silent")
        return ready

    def _open(self) -> None:
        connection = _Connection(self._port)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, select.EPOLLIN)
        self._free.append(connection)

    def _send(self, connection: _Connection, due: float) -> None:
        place = self._next % len(self._requests.raw)
        self._next += 1
        connection.place, connection.began = place, due
        connection.socket.sendall(self._requests.raw[place])

    def _receive(self, connection: _Connection, outcome: Outcome) -> bool:
        """Take in what has come; return whether that completes an answer."""
        try:
            count = connection.socket.recv_into(self._buffer)
        except ConnectionError:
            count = 0
        if not count:
            self._lose(connection, outcome, "connection closed")
            return False
        data = connection.data + self._view[:count]
        head = data.find(b"\r\n\r\n")
        if head < 0:
            connection.data = data
            return False
        at = data.find(LENGTH, 0, head)
        if at < 0:
            at = data[:head].lower().find(LENGTH)
        length = int(data[at + len(LENGTH) : data.find(b"\r", at)]) if at > 0 else -1
        if not data.startswith(OK) or length < 0:
            self._lose(connection, outcome, data[:12].decode("latin-1"))
            return False
        missing = head + 4 + length - len(data)
        if missing > 0:
            connection.data = data
            return False
        connection.data = b""
        if missing or not self._requests.least_bytes <= length <= self._requests.most_bytes:
            outcome.failures["length"] += 1
        elif self._check is not None and not self._next % self._check_every:
            problem = self._check(connection.place, data[head + 4 :])
            if problem is not None:
                outcome.failures[problem] += 1
        return True

    def _lose(self, connection: _Connection, outcome: Outcome, why: str) -> None:
        """Count a failure, and replace the connection."""
        outcome.failures[why] += 1
        if outcome.failures.total() > MOST_FAILURES:
            raise RuntimeError(f"too many failures: {dict(outcome.failures)}")
        if connection in self._free:
            self._free.remove(connection)
        del self._connections[connection.socket.fileno()]
        self._epoll.unregister(connection.socket)
        connection.socket.close()
        self._open()
