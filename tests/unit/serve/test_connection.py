"""Connections by raw sockets: clients that are slow, silent, too many, or speak no HTTP."""

import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from service.serve import connection
from service.serve.wire import MOST_AHEAD
from tests.unit.serve.builders import LIMITS
from tests.unit.serve.dialling import GET, LARGE_BYTES, POST, answer, listening, problem_in, trickle, until_closed

SHORT = 0.3


def test_a_silent_client_is_hung_up_on() -> None:
    """Nobody who never asks anything keeps a connection; there is nothing to answer."""
    with listening(replace(LIMITS, head_seconds=SHORT)) as dial:
        assert until_closed(dial()) == b""


def test_a_head_that_trickles_in_is_a_408() -> None:
    """Each byte does not put the deadline off."""
    with listening(replace(LIMITS, head_seconds=SHORT)) as dial:
        sock = dial()
        found = b""
        sock.settimeout(0.05)
        for byte in b"GET /quick HTTP/1.1\r\nX: " + b"x" * 10_000:
            try:
                sock.sendall(bytes([byte]))
                found += sock.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if found:
                break
        sock.settimeout(30)
        assert "no whole request" in problem_in(found + until_closed(sock), 408)["detail"]


def test_the_head_of_a_second_request_has_its_own_deadline() -> None:
    """On a connection that has served already, too."""
    with listening(replace(LIMITS, head_seconds=SHORT)) as dial:
        sock = dial()
        sock.sendall(GET)
        assert answer(sock).startswith(b"HTTP/1.1 200")
        sock.sendall(GET[:-4])
        problem_in(until_closed(sock), 408)


def test_the_rest_of_a_body_after_the_answer_is_waited_for_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on sending is heard out up to the deadline, not for ever; blank bytes do not put it off."""
    monkeypatch.setattr(connection, "ROUTE_FIRST_SECONDS", 0.0)
    with listening(replace(LIMITS, body_seconds=SHORT)) as dial:
        sock = dial()
        sock.sendall(b"POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        assert answer(sock).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionError):
            trickle(sock)


def test_after_the_rest_of_a_body_the_connection_can_be_used_again() -> None:
    """An answer that came early costs the client nothing."""
    with listening() as dial:
        sock = dial()
        sock.sendall(b"POST /quick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n")
        assert answer(sock).startswith(b"HTTP/1.1 200")
        sock.sendall(b" " * 200_000 + GET)
        assert answer(sock).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_closed() -> None:
    """After the keep-alive time, in parts of a second too."""
    with listening(replace(LIMITS, keep_alive_seconds=SHORT)) as dial:
        sock = dial()
        sock.sendall(GET)
        assert answer(sock).startswith(b"HTTP/1.1 200")
        assert until_closed(sock) == b""


def test_pipelined_requests_are_answered_in_order() -> None:
    """Deadlines do not disturb those who send several at once."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET * 3 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert until_closed(sock).count(b"HTTP/1.1 200") == 4


def test_the_longest_idle_connection_makes_room() -> None:
    """A new client is served at the cost of one that wants nothing; those who wait for an answer stay."""
    with listening(replace(LIMITS, connections=3)) as dial:
        busy = dial()
        busy.sendall(POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert busy.recv(100).startswith(b"HTTP/1.1 100")
        first, second = dial(), dial()
        for sock in (first, second):
            sock.sendall(GET)
            assert answer(sock).startswith(b"HTTP/1.1 200")
        third = dial()
        third.sendall(GET)
        assert answer(third).startswith(b"HTTP/1.1 200")
        assert until_closed(first) == b""
        second.sendall(GET)
        assert answer(second).startswith(b"HTTP/1.1 200")
        busy.sendall(b"four")
        assert b"4 bytes" in answer(busy)


def test_with_every_connection_busy_a_new_one_is_refused() -> None:
    """503 as problem details, at once."""
    with listening(replace(LIMITS, connections=2)) as dial:
        busy = [dial(), dial()]
        for sock in busy:
            sock.sendall(POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 100")
        refused = until_closed(dial())
        assert "too many connections" in problem_in(refused, 503)["detail"]
        assert b"retry-after: " in refused.lower()
        busy[0].sendall(b"four")
        assert b"4 bytes" in answer(busy[0])


NO_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "words": b"hello there\r\n\r\n",
    "a lying length": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length that is none": POST + b"Content-Length: -1\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "a length beside chunks": POST + b"Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a chunk that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer secret\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_http_is_a_400(sent: bytes) -> None:
    """As problem details, and nothing of it is logged as our failure."""
    with capture_logs() as logs, listening() as dial:
        sock = dial()
        sock.sendall(sent)
        assert "secret" not in problem_in(until_closed(sock), 400)["detail"]
    assert [line for line in logs if line["log_level"] == "error"] == []


def test_no_http_after_a_request_does_not_spoil_its_answer() -> None:
    """What was asked rightly is answered; the rest is refused."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET + b"rubbish\r\n\r\n")
        found = until_closed(sock)
    assert found.count(b"HTTP/1.1 200") == 1
    problem_in(found[found.index(b"HTTP/1.1 400") :], 400)


def test_a_head_without_end_is_a_431() -> None:
    """It is refused as soon as it is too large, complete or not."""
    with listening(replace(LIMITS, head_bytes=2_000)) as dial:
        sock = dial()
        sock.sendall(b"GET /quick HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 4_000)
        assert "2000 bytes" in problem_in(until_closed(sock), 431)["detail"]


def test_who_asks_for_another_protocol_stays_with_this_one() -> None:
    """WebSockets, or HTTP/2 in the clear: there are none."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET[:-2] + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
        assert until_closed(sock).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"foo"])
def test_the_body_of_one_who_asks_for_another_protocol_is_a_body(protocol: bytes, pieces: int) -> None:
    """Clients of HTTP/2 offer it like this with every request; nothing in the body is taken for a request."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n"
    request = POST + upgrade + b"Content-Length: %d\r\n\r\n" % len(GET) + GET
    with listening() as dial:
        sock = dial()
        for _ in range(2):
            for begin in range(0, len(request), len(request) // pieces + 1):
                sock.sendall(request[begin : begin + len(request) // pieces + 1])
                time.sleep(0.002)
            assert answer(sock).count(b"HTTP/1.1") == 1
        sock.sendall(request + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        found = until_closed(sock)
        assert found.count(b"HTTP/1.1 200") == 2
        assert b"%d bytes" % len(GET) in found


def test_chunks_together_with_another_protocol_are_refused() -> None:
    """Where such a body ends is not for the parser to say."""
    with listening() as dial:
        sock = dial()
        head = POST + b"Connection: Upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head + b"4\r\nfour\r\n0\r\n\r\n" + GET)
        found = until_closed(sock)
        assert "together with Upgrade" in problem_in(found, 400)["detail"]
        assert found.count(b"HTTP/1.1") == 1


def test_who_sends_far_ahead_of_the_answers_is_refused() -> None:
    """What waits on one connection is bounded; what was asked for within the bound is answered first."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET * (2 * MOST_AHEAD))
        found = until_closed(sock)
        assert MOST_AHEAD <= found.count(b"HTTP/1.1 200") < 2 * MOST_AHEAD
        assert "ahead of their answers" in problem_in(found[found.index(b"HTTP/1.1 400") :], 400)["detail"]


def test_a_bad_body_behind_another_request_is_refused_after_its_answer() -> None:
    """And the connection is closed, in one packet as in two."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET * 2 + POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n")
        found = until_closed(sock)
        assert found.count(b"HTTP/1.1 200") == 2
        problem_in(found[found.index(b"HTTP/1.1 400") :], 400)


def test_a_request_has_one_answer() -> None:
    """A body that goes wrong after an early answer ends the connection without another."""
    with listening() as dial:
        sock = dial()
        sock.sendall(b"POST /quick HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n")
        found = answer(sock)
        sock.sendall(b"ZZ\r\n")
        assert (found + until_closed(sock)).count(b"HTTP/1.1") == 1


def test_blank_lines_do_not_shorten_the_time_for_what_follows() -> None:
    """A head has its own deadline, however long ago the connection was idle."""
    with listening(replace(LIMITS, head_seconds=1.0)) as dial:
        took = [math.inf]
        while max(took) > 0.9:  # again, where the machine itself was too slow
            sock, times = dial(), [time.monotonic()]
            with suppress(ConnectionError):
                sock.sendall(b"\r\n")
                for part in (GET[:10], GET[10:]):
                    time.sleep(0.7)
                    times.append(time.monotonic())
                    sock.sendall(part)
            times.append(time.monotonic())
            took = [after - before for before, after in pairwise(times)]
        assert answer(sock).startswith(b"HTTP/1.1 200")


def test_who_does_not_read_the_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody takes does not lie in memory for ever."""
    monkeypatch.setattr(connection, "STALLED_SECONDS", SHORT)
    cut_off, lost = threading.Event(), connection.Connection.connection_lost

    def note(gone: connection.Connection, why: Exception | None) -> None:
        lost(gone, why)
        cut_off.set()

    monkeypatch.setattr(connection.Connection, "connection_lost", note)
    with listening() as dial:
        sock = dial()
        sock.sendall(GET.replace(b"/quick", b"/large"))
        assert cut_off.wait(60)
        assert len(until_closed(sock)) < LARGE_BYTES


def test_a_slow_reader_gets_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it takes something in, it is left in peace."""
    monkeypatch.setattr(connection, "STALLED_SECONDS", SHORT)
    request = GET.replace(b"/quick", b"/large").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    found = 0
    with listening() as dial:
        while found <= LARGE_BYTES:
            sock, found, longest, before = dial(), 0, 0.0, time.monotonic()
            sock.sendall(request)
            with suppress(ConnectionError):
                while part := sock.recv(2**20):
                    found += len(part)
                    time.sleep(0.02)
                    longest, before = max(longest, time.monotonic() - before), time.monotonic()
            assert found > LARGE_BYTES or longest > SHORT / 2  # again, where the machine itself gave nobody a turn
