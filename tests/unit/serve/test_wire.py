"""What is taken off a connection and what is not: bodies of two lengths or in crumbs, versions, whole URLs."""

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.unit.serve.dialling import GET, POST, answer, listening, problem_in, trickle, until_closed

LENGTH, CHUNKED = b"Content-Length: 4", b"Transfer-Encoding: chunked"
TWO_ENDS = {
    "length first": [LENGTH, CHUNKED],
    "length last": [CHUNKED, LENGTH],
    "lower case": [LENGTH.lower(), CHUNKED.lower()],
    "upper case": [LENGTH.upper(), CHUNKED.upper()],
    "mixed case": [b"cOnTent-lEngth: 4", b"tRansfer-eNcoding: cHunked"],
    "the length twice": [LENGTH, CHUNKED, LENGTH],
    "no length": [b"Content-Length: 0", CHUNKED],
    "kept alive": [LENGTH, CHUNKED, b"Connection: keep-alive"],
}
SMUGGLED = b"0\r\n\r\n" + GET
"""An empty body in chunks and a request, or a body of four bytes and rubbish."""


@pytest.mark.parametrize("headers", TWO_ENDS.values(), ids=TWO_ENDS)
def test_a_length_together_with_chunks_is_a_400_and_the_end(headers: list[bytes]) -> None:
    """A proxy may see another end than we do: nothing that follows is answered, neither sent along nor later."""
    with listening() as dial:
        sock = dial()
        sock.sendall(POST + b"\r\n".join(headers) + b"\r\n\r\n" + SMUGGLED * 3)
        found = until_closed(sock)
        assert "present with" in problem_in(found, 400)["detail"]
        assert found.count(b"HTTP/1.1 ") == 1
        with pytest.raises(ConnectionError):
            trickle(sock, GET)


def test_a_length_together_with_chunks_ends_a_connection_that_served_already() -> None:
    """Behind other requests, in the same piece, too: those are answered, what follows is not."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET * 2 + POST + LENGTH + b"\r\n" + CHUNKED + b"\r\n\r\n" + SMUGGLED)
        found = until_closed(sock)
    assert found.count(b"HTTP/1.1 200") == 2
    assert found.count(b"HTTP/1.1 ") == 3
    problem_in(found[found.index(b"HTTP/1.1 400") :], 400)


@pytest.mark.parametrize("header", [LENGTH + b"\r\n\r\nfour", CHUNKED + b"\r\n\r\n4\r\nfour\r\n0\r\n\r\n"])
def test_a_body_with_one_end_leaves_the_connection_open(header: bytes) -> None:
    """Either way of saying it is read, and the next request is answered."""
    with listening() as dial:
        sock = dial()
        for _ in range(2):
            sock.sendall(POST + header)
            assert b"4 bytes" in answer(sock)


def test_a_body_in_crumbs_is_refused() -> None:
    """Thousands of tiny chunks would cost everybody else their turn; as many of a decent size are fine."""
    begin = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    with listening() as dial:
        sock = dial()
        sock.sendall(begin + b"1\r\nx\r\n" * 2_000)
        assert "small pieces" in problem_in(until_closed(sock), 400)["detail"]
        sock = dial()
        for _ in range(2):  # each request begins anew
            sock.sendall(begin + (b"80\r\n" + b"x" * 128 + b"\r\n") * 2_000 + b"0\r\n\r\n")
            assert b"256000 bytes" in answer(sock)
        sock.sendall(begin + b"1\r\nx\r\n" * 900 + b"0\r\n\r\n")
        assert b"900 bytes" in answer(sock)


@pytest.mark.parametrize("around", [b"1;" + b"x" * 5_000 + b"\r\nx\r\n", b"0\r\n" + b"X: " + b"y" * 600_000])
def test_a_body_in_too_much_wrapping_is_refused(around: bytes) -> None:
    """Extensions of chunks and trailers are not kept, and have an end."""
    with listening() as dial:
        sock = dial()
        found = b""
        try:
            sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + around * 200)
        except ConnectionError:  # it was refused long before its end
            pass
        else:
            found = until_closed(sock)
        if found:
            assert "around it" in problem_in(found, 400)["detail"]


def test_a_trailer_is_no_header() -> None:
    """Nobody names another host behind the body."""
    with listening(app=SEEN_WHOLE) as dial:
        sock = dial()
        sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\nHost: other\r\n\r\n")
        assert answer(sock).partition(b"\r\n\r\n")[2].startswith(b"['localhost'] four")


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0"])
def test_another_version_of_http_is_a_505(version: bytes) -> None:
    """It is said which there are."""
    with listening() as dial:
        sock = dial()
        sock.sendall(GET.replace(b"HTTP/1.1", b"HTTP/" + version) + GET)
        found = until_closed(sock)
    assert "HTTP/1.1" in problem_in(found, 505)["detail"]
    assert found.count(b"\r\nConnection: close") + found.count(b"\r\nconnection: close") == 1


def test_http_1_0_is_answered_once() -> None:
    """Its connections are not kept."""
    with listening() as dial:
        sock = dial()
        sock.sendall(b"GET /quick HTTP/1.0\r\n\r\n")
        assert until_closed(sock).startswith(b"HTTP/1.1 200")


async def seen(request: Request) -> Response:
    """Answer with what was asked for: host, path and query."""
    return PlainTextResponse(f"{request.headers.getlist('host')} {request.url.path} {request.url.query} quick")


async def seen_whole(request: Request) -> Response:
    """Answer with the body, and with the host once the body is there."""
    body = (await request.body()).decode()
    return PlainTextResponse(f"{Headers(scope=request.scope).getlist('host')} {body} quick")


SEEN_WHOLE = Starlette(routes=[Route("/{path:path}", seen_whole, methods=["POST"])])
SEEN = Starlette(routes=[Route("/{path:path}", seen)])


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (b"http://127.0.0.1:9/some/path?a=1", b"['127.0.0.1:9'] /some/path a=1 "),
        (b"HTTP://127.0.0.1/", b"['127.0.0.1'] /  "),
        (b"https://freshet.example", b"['freshet.example'] /  "),
        (b"http://freshet.example?a=http://b/", b"['freshet.example'] / a=http://b/ "),
        (b"/http://other/?a=1", b"['named'] /http://other/ a=1 "),
    ],
)
def test_a_whole_url_is_its_path_under_its_host(target: bytes, what: bytes) -> None:
    """As clients ask proxies: the host in it counts, not the header, so it cannot pass for a request to localhost."""
    with listening(app=SEEN) as dial:
        sock = dial()
        sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: named\r\n\r\n")
        assert answer(sock).partition(b"\r\n\r\n")[2].startswith(what)


def test_a_url_with_a_user_is_none_that_is_known() -> None:
    """Nobody is to take localhost:x@elsewhere for localhost."""
    with listening() as dial:
        sock = dial()
        sock.sendall(b"GET http://localhost:1@elsewhere/quick HTTP/1.1\r\nHost: named\r\nConnection: close\r\n\r\n")
        assert until_closed(sock).startswith(b"HTTP/1.1 404")
