"""HTTP/1.1 as httptools reads it for uvicorn, and what those two take that we do not."""

import asyncio
import re
from http import HTTPStatus
from typing import Literal
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.serve.cycle import Cycle

FREE_PIECES = 1_000
MEAN_PIECE_BYTES = 64
FRAMING_BYTES = 256 * 2**10
"""Of a body, what is none of it: sizes of chunks, their extensions and trailers; beside as much again as it has."""

VERSIONS = ("1.0", "1.1")
VERSIONS_SPOKEN = "this server speaks HTTP/1.1 and HTTP/1.0"
MOST_AHEAD = 100
"""Requests that may be sent before the first of them is answered."""

BODY_IS_HERE = "body_is_here"
"""The key in a scope's state that says, to whoever reads the body, that nobody has to be waited for."""

_ABSOLUTE = re.compile(rb"https?://([^/?@]+)(.*)", re.IGNORECASE)
_PARSERS_WORD_FOR_VERSIONS = "Invalid HTTP version"


class WireError(Exception):
    """Why a request is not taken off the wire: the status of the answer, and words for it."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Wire(HttpToolsProtocol):
    """uvicorn's protocol, stricter.

    It refuses heads without end, bodies in crumbs, each of which costs as much of the event loop as a chunk, and in too
    much wrapping, versions that it does not speak, and requests without one host. ``reading`` tells what part of a
    request is incomplete; after a refusal it is deaf.
    """

    head_limit_bytes: int
    reading: Literal["head", "body"] | None = None

    _deaf = False
    _begun = 0  # requests
    _head_bytes = 0
    _pieces = 0
    _piece_bytes = 0
    _body_bytes = 0  # with what frames it
    _passed_by_bytes = 0  # of a body that the parser takes for another protocol's

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Be deaf; answer without the application once what came before is answered; close. A subclass says how."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._unset_keepalive_if_required()
        if self._deaf:
            return
        was_reading, begun = self.reading, self._begun
        try:
            self._feed(data)
        except (httptools.HttpParserError, WireError) as error:
            refusal = error if isinstance(error, WireError) else _refusal(error)
            self.refuse(refusal.status, refusal.detail)
            return
        if self.reading == "head":
            # How much of it stands in this piece is known unless something else stood before it.
            if self._begun == begun or (was_reading is None and self._begun == begun + 1):
                self._head_bytes += len(data)
            if self._head_bytes > self.head_limit_bytes:
                self.refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the request's head is larger than {self.head_limit_bytes} bytes",
                )
        elif self.reading == "body":
            self._body_bytes += len(data)
            if self._body_bytes > 2 * self._piece_bytes + FRAMING_BYTES:
                self.refuse(HTTPStatus.BAD_REQUEST, "this is not an HTTP request: its body has too much around it")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.reading = "head"
        self._begun += 1
        self._head_bytes = self._pieces = self._piece_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none."""
        if self.reading == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check a whole head, and hand the request on; raises WireError."""
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise WireError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, VERSIONS_SPOKEN)
        hosts = length = 0
        upgrades = self.parser.should_upgrade()
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding" and upgrades:
                raise WireError(HTTPStatus.BAD_REQUEST, "this is not an HTTP request: chunks together with Upgrade")
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                raise WireError(HTTPStatus.BAD_REQUEST, "this is not an HTTP request: an unknown Transfer-Encoding")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise WireError(HTTPStatus.BAD_REQUEST, "this is not an HTTP request: it needs one Host header")
        if not self.url.startswith(b"/"):
            self._to_origin_form()
        self._hand_on(version)
        self.reading = "body"
        self._passed_by_bytes = length if upgrades else 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; raises WireError."""
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._pieces > FREE_PIECES + self._piece_bytes / MEAN_PIECE_BYTES:
            detail = "this is not an HTTP request: the body comes in too many small pieces"
            raise WireError(HTTPStatus.BAD_REQUEST, detail)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, unless its body is still to come past the parser."""
        if self._passed_by_bytes:
            return
        super().on_message_complete()
        self.scope["state"][BODY_IS_HERE] = True
        self.reading = None

    def _feed(self, data: bytes) -> None:
        """Parse. Who asks for another protocol stays with this one: what the parser leaves is the request's body."""
        while data:
            if self._passed_by_bytes:
                body, data = data[: self._passed_by_bytes], data[self._passed_by_bytes :]
                self._passed_by_bytes -= len(body)
                self.on_body(body)
                if not self._passed_by_bytes:
                    self.on_message_complete()
                continue
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return

    def _hand_on(self, version: str) -> None:
        """Let the application answer, once all that was asked before is answered; uvicorn's way but for the cycle."""
        scope = self.scope
        target, _, query = self.url.partition(b"?")
        raw_path = target.partition(b"#")[0]
        path = raw_path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query.partition(b"#")[0]
        before = self.cycle
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        elif len(self.pipeline) >= MOST_AHEAD:
            self.cycle = before
            raise WireError(HTTPStatus.BAD_REQUEST, f"more than {MOST_AHEAD} requests are sent ahead of their answers")
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _to_origin_form(self) -> None:
        """Make a request for http://host/path one for /path with that Host, whatever Host it had (RFC 9112, 3.2.2)."""
        absolute = _ABSOLUTE.fullmatch(self.url)
        if absolute is None:
            # Neither a path nor a URL as it should be: a path that nothing is found at.
            self.url = b"/" + self.url
            return
        host, path = absolute.groups()
        self.url = path if path.startswith(b"/") else b"/" + path
        self.headers[:] = [(b"host", host), *((name, value) for name, value in self.headers if name != b"host")]


def _refusal(error: httptools.HttpParserError) -> WireError:
    """Return what to answer to an error of the parser, which names nothing of what was sent."""
    cause = error.__context__
    if isinstance(cause, WireError):
        return cause
    if _PARSERS_WORD_FOR_VERSIONS in str(error):
        return WireError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, VERSIONS_SPOKEN)
    why = "its target cannot be read" if isinstance(error, httptools.HttpParserCallbackError) else str(error)
    return WireError(HTTPStatus.BAD_REQUEST, f"this is not an HTTP request: {why}")
