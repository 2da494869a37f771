"""What can go wrong between a client and a server; the message is one line, the rest is in attributes.

FreshetClientError
├── UnsendableError             a value that JSON cannot say as it was meant; nothing was sent (also a ValueError)
├── NoAnswerError               no connection, or it ended or took too long before an answer came
├── UnreadableAnswerError       something answered that does not speak as Freshet does
└── FreshetHTTPError            the server refused: status, detail, fields at fault
    ├── InvalidRequestError     400, 422 and every other 4xx: the request has to change
    ├── NotAllowedError         401, 403: a token is missing, unknown, or of another role
    ├── NotFoundError           404
    ├── TooLargeError           413: send it in parts
    ├── UnavailableError        429, 502, 503, 504: no checkpoint yet, too busy, or stopping; come back later
    └── ServerError             every other 5xx
"""

from http import HTTPStatus

import msgspec

from service.client.answers import EventsAnswer


class FieldFault(msgspec.Struct, frozen=True):
    """One field at fault: its JSON pointer (RFC 6901) in the request, and what is wrong with it."""

    pointer: str
    detail: str


class FreshetClientError(Exception):
    """Anything that a client raises on purpose.

    ``taken`` is set by ``send_many``: what the server had taken before the failure.
    """

    taken: EventsAnswer | None = None


class UnsendableError(FreshetClientError, ValueError):
    """A value that JSON cannot say as it was meant; ``pointer`` tells where it stands."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail, pointer)
        self.detail = detail
        self.pointer = pointer

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


class NoAnswerError(FreshetClientError):
    """No answer came; ``sent`` tells whether the server may have carried the request out all the same."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class UnreadableAnswerError(FreshetClientError):
    """An answer that Freshet does not give: a proxy, a redirect, or another service at that address."""


class FreshetHTTPError(FreshetClientError):
    """An answer of 400 or more.

    ``errors`` are the fields at fault, ``request_id`` is what to look for in the server's log, ``retry_after_seconds``
    is when the server asks to be asked again.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: tuple[FieldFault, ...] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        # All of them positions, so that the error survives being pickled on its way between processes.
        super().__init__(status, detail, errors, request_id, retry_after_seconds)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        where = f" at {self.errors[0].pointer}" if self.errors and self.errors[0].pointer else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status}{where}: {self.detail}{request}"


class InvalidRequestError(FreshetHTTPError):
    """The request has to change before it can be answered."""


class NotAllowedError(FreshetHTTPError):
    """A token is missing, unknown, or of another role."""


class NotFoundError(FreshetHTTPError):
    """There is nothing of that name."""


class TooLargeError(FreshetHTTPError):
    """More than the server takes at once; send it in parts."""


class UnavailableError(FreshetHTTPError):
    """The server cannot answer now: no checkpoint yet, too busy, stopping, or not reached by a proxy."""


class ServerError(FreshetHTTPError):
    """A fault on the server's side."""


AGAIN_LATER = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Freshet itself says 503 alone; the others come from what stands before it."""

_CLASSES: dict[int, type[FreshetHTTPError]] = {
    HTTPStatus.UNAUTHORIZED: NotAllowedError,
    HTTPStatus.FORBIDDEN: NotAllowedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLargeError,
    **dict.fromkeys(AGAIN_LATER, UnavailableError),
}


def class_of(status: int) -> type[FreshetHTTPError]:
    """Return the class for a status of 400 or more."""
    fallback = ServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidRequestError
    return _CLASSES.get(status, fallback)
