"""Ports for what a test starts a little later: nobody else gets them in the meantime.

They lie below those that the system itself gives out, to sockets without a port of their own and to clients, and each
worker of pytest-xdist has a range of its own.
"""

import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST, EACH, WORKERS = 11_000, 1_200, 16


def _range() -> range:
    """Return this process's ports."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    begin = FIRST + worker * EACH
    return range(begin, begin + EACH)


def _in_turn(ports: range) -> Iterator[int]:
    """Yield ports for ever, from any of them on: another test run on this machine has the same."""
    begin = random.randrange(len(ports))  # noqa: S311 - no secret
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_NEXT = _in_turn(_range())


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on, another one each time."""
    for port in itertools.islice(_NEXT, EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # somebody else's, or one of ours that is in use, or was a moment ago
                continue
        return port
    message = f"no port of {FIRST} to {FIRST + WORKERS * EACH} is free for this test run"
    raise OSError(message)


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on."""
    return [free_port() for _ in range(count)]
