"""An answer leaves the server as it should, in however many pieces the application makes it."""

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.observer import Observer
from service.serve.middleware import Watched
from tests.unit.serve.builders import answering
from tests.unit.serve.dialling import GET

Message = dict[str, Any]
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]}
BODY: Message = {"type": "http.response.body", "body": b"answer"}


def speaking(*messages: Message) -> Any:
    """Return an application that says this to everybody."""

    async def app(_: Any, __: Any, send: Callable[[Message], Any]) -> None:
        for message in messages:
            await send(dict(message))

    return app


@pytest.mark.parametrize(
    "messages",
    [
        (START, BODY),
        (START, {**BODY, "body": b"ans", "more_body": True}, {**BODY, "body": b"wer"}),
        ({**START, "headers": []}, BODY),
        ({**START, "headers": []}, {**BODY, "more_body": True}, {**BODY, "body": b""}),
    ],
    ids=["whole", "in parts", "without a length", "chunked"],
)
def test_an_answer_arrives_whole(messages: tuple[Message, ...]) -> None:
    """Twice over one connection."""
    with answering(speaking(*messages)) as client:
        for _ in range(2):
            assert client.get("/").content == b"answer"


def test_who_asks_for_the_head_alone_gets_no_body() -> None:
    """The length is that of the body there would be."""
    with answering(speaking(START, BODY)) as client:
        for _ in range(2):
            response = client.head("/")
            assert response.content == b""
            assert response.headers["content-length"] == "6"


def test_an_answer_can_close_the_connection() -> None:
    """By its own header, or since the client wants it; it is said once."""
    closing = {**START, "headers": [*START["headers"], (b"connection", b"close")]}
    for start, headers in ((closing, {}), (START, {"connection": "close"})):
        with answering(speaking(start, BODY)) as client:
            response = client.get("/", headers=headers)
            assert response.headers.get_list("connection") == ["close"]


def test_no_header_brings_another_along() -> None:
    """A line break in a value is a failure of ours, not an answer of somebody else's making."""
    split = {**START, "headers": [*START["headers"], (b"x-name", b"a\r\nset-cookie: b")]}
    app = Watched(speaking(split, BODY), Observer())
    with answering(app) as client, pytest.raises(httpx.RemoteProtocolError):  # the connection ends without an answer
        client.get("/")


def test_an_application_that_falls_silent_closes() -> None:
    """After the head alone nothing can be mended."""
    with answering(speaking(START)) as client:
        sock = socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)
        sock.sendall(GET)
        assert sock.recv(1_000) == b""
        sock.close()
