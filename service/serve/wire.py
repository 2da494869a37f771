"""HTTP/1.1 as h11 reads it, and what h11 takes that we do not."""

import re
from http import HTTPStatus

import h11

FREE_PIECES = 1_000
MEAN_PIECE_BYTES = 64
VERSIONS = (b"1.0", b"1.1")
_ABSOLUTE = re.compile(rb"https?://([^/?@]+)(.*)", re.IGNORECASE)


class Wire(h11.Connection):
    """h11's state machine, stricter.

    It refuses bodies in crumbs, each of which costs as much of the event loop as a chunk, versions that h11 does not
    speak, and requests with two ideas of where their body ends.
    """

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self._pieces = 0
        self._piece_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what came next; raises RemoteProtocolError for what is no HTTP, or what the class refuses."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check(event)
            return _in_origin_form(event)
        if isinstance(event, h11.Data):
            self._pieces += 1
            self._piece_bytes += len(event.data)
            if self._pieces > FREE_PIECES + self._piece_bytes / MEAN_PIECE_BYTES:
                raise h11.RemoteProtocolError("the body comes in too many small pieces")
        elif isinstance(event, h11.EndOfMessage):
            self._pieces = self._piece_bytes = 0
        return event


def _check(request: h11.Request) -> None:
    if request.http_version not in VERSIONS:
        raise h11.RemoteProtocolError("", error_status_hint=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
        # h11 takes the chunks and goes on; a proxy that took the length would take our next answer for another's.
        raise h11.RemoteProtocolError("Content-Length together with Transfer-Encoding")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Return a request for http://host/path as one for /path with that Host, whatever Host it had (RFC 9112, 3.2.2)."""
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None:
        return request
    host, path = absolute.groups()
    others = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=path if path.startswith(b"/") else b"/" + path,
        headers=[(b"host", host), *others],
        http_version=request.http_version,
    )
