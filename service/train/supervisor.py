"""The trainer's side of the conversation with the worker: starts it, watches it, starts it again."""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from service.errors import RoundFailedError
from service.observer import Observer
from service.settings import Log, Worker
from service.train.round import Outcome, read_outcome

log = structlog.get_logger(__name__)

LONGEST_BACKOFF_SECONDS = 60.0
STARTUP_SECONDS = 120.0
"""Importing torch on a busy, cold machine takes long; only beyond this is a silent new worker taken for hung."""


class TrainingWorker:
    """A long-lived process that trains one round at a time. ``run`` belongs to one thread, ``stop`` to any.

    ``module`` is the factory of the user's own networks, which it may import; ``log`` is how it logs, by default
    as its libraries do; ``device`` is what it gets ready before the first round; ``restarts`` counts by cause how often
    the process was started again.
    """

    def __init__(
        self,
        settings: Worker,
        observer: Observer,
        module: str | None = None,
        log: Log | None = None,
        device: str = "cpu",
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._module = module
        self._log = log
        self._device = device
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._ready = threading.Event()
        self._failures_in_a_row = 0
        self.restarts: Counter[str] = Counter()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the process, without waiting until it is ready."""
        command = [sys.executable, "-m", "service.train", "--worker", "--niceness", str(self._settings.niceness)]
        command += [] if self._module is None else ["--module", self._module]
        command += [] if self._device == "cpu" else ["--device", self._device]
        command += [] if self._log is None else ["--log", self._log.model_dump_json()]
        self._said, self._ready = queue.Queue(), threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )
        heard = (self._process, self._said, self._ready)
        threading.Thread(target=_listen, args=heard, name="worker-answers", daemon=True).start()

    def run(self, directory: Path) -> Outcome:
        """Train the round of a directory and return its outcome; blocks.

        Raises RoundFailedError when the worker failed, died, fell silent or ran over its deadline; it is then
        started again, after a pause that doubles with each failure in a row.
        """
        try:
            outcome = self._run(directory)
        except RoundFailedError as error:
            if error.cause in ("crash", "hang", "deadline") and not self._stopping.is_set():
                self._restart(error)
            raise
        self._failures_in_a_row = 0
        return outcome

    def stop(self) -> None:
        """End the process; a round that is under way ends with RoundFailedError."""
        self._stopping.set()
        self._kill()

    @property
    def ready(self) -> bool:
        """Whether the process has loaded all it needs."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None before the start."""
        return self._process.pid if self._process else None

    def _run(self, directory: Path) -> Outcome:
        if self._stopping.is_set():
            raise RoundFailedError(f"{directory.name}: given up, the trainer stops", "error")
        if self._process is None or self._process.poll() is not None:
            self.start()
        process = self._process
        if process is None or process.stdin is None:
            raise RoundFailedError("the training worker could not be started", "crash")
        began = time.monotonic()
        with contextlib.suppress(OSError):  # a dead worker is noticed by its silence below
            ids = structlog.contextvars.get_contextvars()
            process.stdin.write(json.dumps({"round": str(directory), "ids": ids}, default=str) + "\n")
            process.stdin.flush()
        while True:
            left = began + self._settings.deadline_seconds - time.monotonic()
            patience = self._settings.heartbeat_seconds if self._ready.is_set() else STARTUP_SECONDS
            try:
                said = self._said.get(timeout=max(0.0, min(left, patience)))
            except queue.Empty:
                cause = "deadline" if left <= patience else "hang"
                raise RoundFailedError(self._explain(cause, directory), cause) from None
            if said is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
                raise RoundFailedError(self._explain("crash", directory), "crash")
            if "done" in said:
                return _read(directory)
            if "failed" in said:
                raise RoundFailedError(f"{directory.name}: {said['message']}", said["cause"])

    def _explain(self, cause: str, directory: Path) -> str:
        code = self._process.poll() if self._process else None
        if cause == "crash":
            killed = " (killed, perhaps for memory)" if code in (-9, 137) else ""
            return f"{directory.name}: the training worker ended with exit code {code}{killed}"
        limit = self._settings.deadline_seconds if cause == "deadline" else self._settings.heartbeat_seconds
        return f"{directory.name}: the training worker gave no answer within {limit:g} s ({cause})"

    def _restart(self, error: RoundFailedError) -> None:
        self._kill()
        pause = min(self._settings.backoff_seconds * 2**self._failures_in_a_row, LONGEST_BACKOFF_SECONDS)
        self._failures_in_a_row += 1
        self.restarts[error.cause] += 1
        self._observer.worker_restarted(error.cause)
        log.warning("training worker is started again", cause=error.cause, pause_seconds=pause)
        if not self._stopping.wait(pause):
            self.start()

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _listen(process: subprocess.Popen[str], said: queue.Queue[dict[str, Any] | None], ready: threading.Event) -> None:
    """Pass on what the worker says; None stands for its end."""
    with contextlib.suppress(OSError, ValueError):
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if "ready" in message:
                    ready.set()
                else:
                    said.put(message)
    said.put(None)


def _read(directory: Path) -> Outcome:
    try:
        return read_outcome(directory)
    except (OSError, ValueError, KeyError) as error:
        raise RoundFailedError(f"{directory.name}: the worker's answer cannot be read: {error}", "error") from None
