"""Tokens and their roles: who may do what is not open to everybody.

A file of lines ``name:role:token``; blank lines and those that begin with # count for nothing. What is kept of a token
is its SHA-256, and no message or log line ever holds one.
"""

import hashlib
import hmac
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import structlog

from service.errors import ConfigurationError
from service.store.pointer import GATE

Role = Literal["events", "admin"]

MIN_TOKEN_CHARS = 16
MAX_FILE_BYTES = 64 * 2**10
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(rf"[!-~]{{{MIN_TOKEN_CHARS},512}}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a token, and the role that it gives."""

    name: str
    role: Role
    digest: bytes

    def may(self, role: Role) -> bool:
        """Tell whether the holder has a role; an administrator has every one."""
        return self.role in {role, "admin"}


def parse_tokens(text: bytes, path: Path) -> tuple[Holder, ...]:
    """Return the holders that a file's content names.

    Raises ConfigurationError with path and number of the first line that is wrong, never with the line itself; and if
    no line names a token: a writer that empties the file before it fills it would withdraw all of them at once.
    """
    holders: dict[str, Holder] = {}
    digests: set[bytes] = set()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.decode("ascii", "replace").strip()
        if not line or line.startswith("#"):
            continue
        if line.count(":") < 2:  # noqa: PLR2004 - a token may hold more of them
            raise _wrong(path, number, "is not name:role:token")
        name, role, token = line.split(":", 2)
        if not _NAME.fullmatch(name):
            raise _wrong(path, number, "has a name that is not 1 to 64 of A-Z a-z 0-9 . _ -")
        if name == GATE:
            raise _wrong(path, number, f"has the name {GATE}, under which the trainer promotes; choose another")
        if role not in get_args(Role):
            raise _wrong(path, number, f"has an unknown role; there are {' and '.join(get_args(Role))}")
        if not _TOKEN.fullmatch(token):
            raise _wrong(path, number, f"has a token that is not {MIN_TOKEN_CHARS} to 512 visible ASCII characters")
        digest = _digest(token.encode())
        if name in holders or digest in digests:
            raise _wrong(path, number, f"has a {'name' if name in holders else 'token'} that an earlier line has")
        digests.add(digest)
        holders[name] = Holder(name, "admin" if role == "admin" else "events", digest)
    if not holders:
        raise ConfigurationError(f"serve.tokens_file: {path} holds no token; write one as a line name:role:token")
    return tuple(holders.values())


class Tokens:
    """The tokens of a file, reread whenever it changes; without a file there are none, and ``configured`` is False.

    Raises ConfigurationError if the file cannot be read or is wrong. Later on a file that became so leaves the former
    tokens in force, which is logged once.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._holders: tuple[Holder, ...] = ()
        self._trouble: str | None = None
        if path is not None:
            self._read(path)

    @property
    def configured(self) -> bool:
        """Whether there is a file of tokens."""
        return self._path is not None

    def holder(self, token: bytes) -> Holder | None:
        """Return who holds a token, None if nobody does; takes equally long whichever it is."""
        self._reread()
        digest = _digest(token)
        found = None
        for holder in self._holders:  # all of them: where it stops would tell
            if hmac.compare_digest(holder.digest, digest):
                found = holder
        return found

    def _reread(self) -> None:
        if self._path is None:
            return
        try:
            if _signature(self._path) == self._seen:
                return
            self._read(self._path)
        except ConfigurationError as error:
            trouble = str(error)
            if trouble != self._trouble:
                log.warning("tokens not reread; the former ones stay in force", problem=trouble)
            self._trouble = trouble
        else:
            self._trouble = None
            log.info("tokens reread", path=str(self._path), tokens=len(self._holders))

    def _read(self, path: Path) -> None:
        try:
            seen = _signature(path)  # before the content: what changes in between is read again
            with path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1)
            mode = path.stat().st_mode
        except OSError as error:
            raise _unreadable(path, error) from None
        if len(text) > MAX_FILE_BYTES:
            raise ConfigurationError(f"serve.tokens_file: {path} is larger than {MAX_FILE_BYTES} bytes")
        try:
            self._holders = parse_tokens(text, path)
        finally:
            self._seen = seen  # a wrong file is not read again until it changes
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            log.warning("tokens can be read or written by everybody on this machine; chmod 600", path=str(path))


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"serve.tokens_file: there is no {path}; write it, or name the file that is meant")
    return ConfigurationError(f"serve.tokens_file: cannot read {path}: {error.strerror or error}")


def _wrong(path: Path, number: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"serve.tokens_file: {path}, line {number} {what}")
