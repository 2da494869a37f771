"""Runs trainer and server as child processes on one machine, and watches both."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

from service import parent
from service.settings import Settings

WRONG_USE = 2
LOOK_SECONDS = 0.1
SPARE_SECONDS = 3.0
"""What a role needs beside its grace time: to notice the signal, and to free what it holds."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0
"""A child that lived so long starts again after the first pause."""

logger = structlog.get_logger(__name__)


class Child:
    """One role's process, and when it may be started again."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.starts = 0
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def start_when_due(self) -> None:
        """Start the process unless it runs or its pause is not over."""
        if self._process is not None or time.monotonic() < self._start_at:
            return
        # A group of its own: a Ctrl-C in the terminal reaches us alone, and each child gets one SIGTERM from us.
        # Its standard output is our standard error: what we answer with --json stays alone on standard output.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.DEVNULL, stdout=sys.__stderr__, process_group=0, env=_environment()
        )
        self._started_at = time.monotonic()
        self.starts += 1

    def ended(self) -> int | None:
        """Return the exit code once after the process has ended, and plan its next start; None while it runs."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._process = None
        if time.monotonic() - self._started_at >= SETTLED_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        self._start_at = time.monotonic() + self._pause_seconds
        if code != WRONG_USE:
            logger.warning(
                "role ended; it is started again", role=self.name, ended=how(code), pause_seconds=self._pause_seconds
            )
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        return code

    def terminate(self) -> None:
        """Ask the process to stop."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait for the process to end, and kill it at the deadline (``time.monotonic``)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("role did not stop in time and is killed", role=self.name)
            self._process.kill()
            self._process.wait()
        self._process = None


def run(settings: Settings, options: Sequence[str]) -> dict[str, int]:
    """Run both roles with the same options until SIGTERM or SIGINT; return how often each was started again.

    Raises SystemExit(2) when a role ends with 2: its command or configuration is wrong, and it has said why.
    """
    program = [sys.executable, "-m", "service"]
    children = [
        Child(role, [*program, command, *options]) for role, command in (("trainer", "train"), ("server", "serve"))
    ]
    return watch(children, max(settings.trainer.grace_seconds, settings.serve.grace_seconds) + SPARE_SECONDS)


def watch(children: Sequence[Child], grace_seconds: float) -> dict[str, int]:
    """Keep children running until a signal comes; see ``run``."""
    with _stop_requested() as stop:
        try:
            while not stop.is_set():
                for child in children:
                    child.start_when_due()
                    if child.ended() == WRONG_USE:
                        raise SystemExit(WRONG_USE)
                stop.wait(LOOK_SECONDS)
        finally:
            for child in children:
                child.terminate()
            deadline = time.monotonic() + grace_seconds
            for child in children:
                child.wait(deadline)
    return {child.name: max(0, child.starts - 1) for child in children}


def where_to_look(settings: Settings) -> str:
    """Return the addresses of a running Freshet, one a line."""
    server = f"http://{_reachable(settings.serve.host)}:{settings.serve.port}"
    trainer = f"http://{_reachable(settings.trainer.host)}:{settings.trainer.port}"
    return "\n".join(
        (
            f"  predictions  {server}/v1/predict   (try them at {server}/docs)",
            f"  status       {server}/",
            f"  metrics      {trainer}/metrics (trainer)   {server}/metrics (server)",
            f"  checkpoints  {settings.store.path}",
        )
    )


def how(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what to ask, not what to bind
    return f"[{host}]" if ":" in host else host


def _environment() -> Mapping[str, str]:
    """Return ours, so extended that children import this very package, whatever lies in the working directory."""
    package = str(Path(__file__).resolve().parent.parent)
    old = os.environ.get("PYTHONPATH")
    path = f"{package}{os.pathsep}{old}" if old else package
    return {**os.environ, **parent.variables(), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set, and give the signals back afterwards."""
    stop = threading.Event()

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
