"""The servers that are compared, each a real process on the first core; the load generator has the second."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from environments import APPS, python_of
from made import PATH, Made, environment, requests_of, some_instances

READY_SECONDS = 90.0
STOP_SECONDS = 20.0
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
FASTAPI = {
    "no-op": "noop:app",
    "no-op-undeclared": "noop:undeclared",
    "plain": "plain:app",
    "plain-undeclared": "plain:undeclared",
}
NAMES = ("freshet", *FASTAPI, "litserve", "bentoml")
"""Freshet; FastAPI without a model; FastAPI with the model in its handler; and two servers of models."""

UVICORN = ("--host", "127.0.0.1", "--http", "httptools", "--loop", "auto", "--no-access-log", "--log-level", "error")
"""As Freshet runs it: the same parser, the same loop, no line a request."""


def on_core(place: int) -> None:
    """Bind this thread, and what it starts from now on, to the first (0) or second (1) core."""
    if len(CORES) < 2:
        sys.exit("this benchmark needs Linux, and two cores that it may use")
    os.sched_setaffinity(0, {CORES[place]})


def command_of(name: str, made: Made, port: int, settings: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Return how a server is started on a port, and its environment."""
    if name == "freshet":
        overrides = [word for setting in (f"serve.port={port}", *settings) for word in ("--set", setting)]
        return [*made.command("serve"), *overrides], environment()
    checkpoint = made.store.path / "checkpoints" / made.checkpoint().manifest.id
    places = os.pathsep.join([str(APPS), str(APPS.parents[2])])
    found = environment(CHECKPOINT=str(checkpoint), PYTHONPATH=places, BENTOML_DO_NOT_TRACK="true")
    if name in FASTAPI:
        return [sys.executable, "-m", "uvicorn", FASTAPI[name], "--port", str(port), *UVICORN], found
    if name == "litserve":
        return [str(python_of(name)), str(APPS / "with_litserve.py"), str(port)], found
    where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(APPS)]
    return [str(python_of(name)), "-m", "bentoml", "serve", "with_bentoml:Predictions", *where], found


@contextmanager
def running(name: str, made: Made, port: int, settings: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on the first core until the block ends; it answers once the block begins."""
    command, found = command_of(name, made, port, settings)
    log = made.folder / f"{name}.log"
    with log.open("wb") as file:
        on_core(0)
        process = subprocess.Popen(
            command, env=found, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        on_core(1)
        try:
            wait_until_it_answers(process, port, log)
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and all that it has started."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # whatever is left of its session
    process.wait()


def used_seconds(pid: int) -> float:
    """Return the processor seconds that a process and all that it has started have used."""
    first = psutil.Process(pid)
    spent = [one.cpu_times() for one in (first, *first.children(recursive=True))]
    return sum(times.user + times.system for times in spent)


def wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once a prediction is answered; raises RuntimeError, with the end of the log, if that never comes."""
    request = requests_of(some_instances(1), 1)[0]
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5.0) as client:
                client.settimeout(5.0)
                client.sendall(request)
                if client.recv(65_536).startswith(b"HTTP/1.1 200 "):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{process.args} does not answer {PATH}:\n{log.read_text()[-2_000:]}")
