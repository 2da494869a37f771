"""How a client is set up, the same for the one that blocks and the one that awaits."""

import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from service import __version__
from service.client import calls
from service.client.answers import EventsAnswer, PredictAnswer
from service.client.attempts import Retries
from service.client.calls import Call

BASE_URL = "http://127.0.0.1:8000"
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
MAX_CONNECTIONS = 32
BATCH_SIZE = 1_000
IDLE_SECONDS = 30.0
"""A connection idle for longer is not used again; the server keeps it for longer, so that it seldom closes first."""

DEFAULT_RETRIES = Retries()

_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a client was told; see ``Configured``. Raises ValueError for what cannot be used; a token is never shown."""

    base_url: str
    token: str | None = field(repr=False)
    timeout_seconds: float
    retries: Retries
    max_connections: int
    nan_is_missing: bool
    verify: bool | ssl.SSLContext

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.base_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"base_url is no URL: {error}") from None
        if url.userinfo:
            raise ValueError("base_url holds a name or password; give token=... instead")
        if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
            raise ValueError(f"base_url is {self.base_url!r}; it has the form http://host:port, perhaps with a path")
        if self.token is not None and not _TOKEN.fullmatch(self.token.strip()):
            raise ValueError("token holds a blank or a character that a header cannot carry; it is not shown here")
        if not self.timeout_seconds > 0 or self.max_connections < 1:
            raise ValueError("timeout_seconds must be above 0, max_connections at least 1")

    def http(self, max_connections: int) -> dict[str, Any]:
        """Return what httpx's clients are made with; several share what is slow to make."""
        # Headers of httpx's own kind do not show a token to whoever prints them.
        headers = httpx.Headers({"Accept": "application/json", "User-Agent": f"freshet-client/{__version__}"})
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.strip()}"
        return {
            "base_url": self.base_url,
            "headers": headers,
            # Who waits for a connection of our own pool is not let down by anybody.
            "timeout": httpx.Timeout(
                self.timeout_seconds, connect=min(CONNECT_SECONDS, self.timeout_seconds), pool=None
            ),
            "limits": httpx.Limits(
                max_connections=max_connections,
                max_keepalive_connections=max_connections,
                keepalive_expiry=IDLE_SECONDS,
            ),
            "verify": httpx.create_ssl_context() if self.verify is True else self.verify,
        }

    def predict(self, instances: Iterable[Any], first: int = 0, *, explain: bool = False) -> Call[PredictAnswer]:
        """Return the call for predictions."""
        return calls.predict(instances, explain=explain, first=first, nan_is_missing=self.nan_is_missing)

    def send_events(self, events: Iterable[Any], first: int = 0, *, resend: bool = False) -> Call[EventsAnswer]:
        """Return the call that hands events in."""
        return calls.send_events(events, resend=resend, first=first, nan_is_missing=self.nan_is_missing)


class Configured(ABC):
    """What both clients are made with.

    - ``base_url`` may hold a path: what a proxy puts before the server's own;
    - ``token`` is sent as a bearer token; it is in no text that this package makes;
    - ``timeout_seconds`` is the longest silence while sending or reading, not the time of the whole call;
    - ``nan_is_missing`` lets NaN, which JSON cannot say, mean a missing value, as in tables; else it is refused;
    - ``verify`` is httpx's: a context of ssl for a certificate of your own.

    Raises ValueError.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        token: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: Retries = DEFAULT_RETRIES,
        max_connections: int = MAX_CONNECTIONS,
        nan_is_missing: bool = False,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self._options = Options(
            base_url=base_url,
            token=token,
            timeout_seconds=timeout_seconds,
            retries=retries,
            max_connections=max_connections,
            nan_is_missing=nan_is_missing,
            verify=verify,
        )
        self._open()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options.base_url!r})"

    @abstractmethod
    def _open(self) -> None:
        """Make httpx's client."""


def sent(call: Call[Any]) -> dict[str, Any]:
    """Return what httpx's ``request`` is called with."""
    form: dict[str, Any] = {"method": call.method, "url": call.path, "params": call.query or None}
    if call.body is not None:
        form |= {"content": call.body, "headers": {"Content-Type": "application/json"}}
    return form
