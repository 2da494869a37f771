"""Starts the program in a tenth of a second: a process that has imported everything forks one for each command.

What runs is the real command line in a process of its own, with signals, descriptors and an exit code of its own; only
the import of torch is shared. Training workers are born here too: their trainer starts ``relay`` in place of Python.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SOCKET = "FRESHET_TEST_NURSERY"
READY_SECONDS = 120.0
WORKERS = ("service.train", "tests.acceptance.worker_faults")


class Child:
    """A process that the nursery has forked, in the manner of ``subprocess.Popen``."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid: int = _read_line(connection)["pid"]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended; raise subprocess.TimeoutExpired if it does not within so long."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("the nursery's child", timeout or 0.0)
            self.returncode = int(_read_line(self._connection)["code"])
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The test's side: one forking process, started at the first use and ended with the test run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "nursery"
        environment = {**os.environ, SOCKET: str(self._path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.nursery"], cwd=ROOT, env=environment, stdin=subprocess.PIPE
        )

    def start(self, command: list[str], output: int) -> Child:
        """Run ``python`` with these arguments, such as ``-m service train``, its output to a descriptor."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                return Child(ask(self._path, command, [output] * 3))
            except (FileNotFoundError, ConnectionRefusedError):
                assert self._process.poll() is None, "the nursery has died"
                assert time.monotonic() < deadline, "the nursery does not come up"
                time.sleep(0.05)

    def close(self) -> None:
        """End it, and all that it has forked."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def ask(path: Path, command: list[str], descriptors: list[int]) -> socket.socket:
    """Ask for a process with these standard descriptors; return the line on which its pid and exit code come."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    socket.send_fds(connection, [json.dumps(command).encode() + b"\n"], descriptors)
    return connection


def _read_line(connection: socket.socket) -> dict[str, Any]:
    """Return the next answer; an end without one stands for a nursery that was ended with all its children."""
    line = b""
    while not line.endswith(b"\n"):
        some = connection.recv(1)
        if not some:
            return {"pid": -1, "code": -signal.SIGKILL}
        line += some
    found: dict[str, Any] = json.loads(line)
    return found


def relay(command: list[str]) -> int:
    """Be, to whoever started it, the process that the nursery forks: same pipes, same end; its death is both's."""
    child = Child(ask(Path(os.environ[SOCKET]), command, [0, 1, 2]))
    return child.wait()


class Cradle:
    """The forking side: listens, forks, and tells each asker the pid and the exit code."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.environ[SOCKET])
        self._listener.listen(64)
        self._children: dict[int, tuple[int, socket.socket]] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ, ("end", 0))
        self._selector.register(self._listener, selectors.EVENT_READ, ("request", 0))

    def bear(self) -> list[str]:
        """Fork a process for each request; return in each of them its command, and in the parent at the end none."""
        while True:
            for key, _ in self._selector.select():
                what, pid = key.data
                if what == "end":
                    for child in self._children:
                        os.kill(child, signal.SIGKILL)
                    self._leave()
                    return []
                if what == "request":
                    command = self._fork()
                    if command:
                        return command
                elif what == "exit":
                    self._bury(pid)
                elif pid in self._children:  # whoever asked for the process is gone
                    os.kill(pid, signal.SIGKILL)
                    self._selector.unregister(key.fileobj)

    def _fork(self) -> list[str]:
        """Serve one request; return its command in the child, none in the parent."""
        connection, _ = self._listener.accept()
        command, descriptors = _accept(connection)
        pid = os.fork() if command else -1
        if pid == 0:
            self._leave()
            connection.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return command
        for descriptor in descriptors:
            os.close(descriptor)
        if pid < 0:  # whoever asked is gone already
            connection.close()
            return []
        watch = os.pidfd_open(pid)
        self._children[pid] = (watch, connection)
        self._selector.register(watch, selectors.EVENT_READ, ("exit", pid))
        self._selector.register(connection, selectors.EVENT_READ, ("gone", pid))
        _tell(connection, {"pid": pid})
        return []

    def _bury(self, pid: int) -> None:
        watch, connection = self._children.pop(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._selector.unregister(watch)
        os.close(watch)
        if connection in self._selector.get_map():
            self._selector.unregister(connection)
        _tell(connection, {"code": code})
        connection.close()

    def _leave(self) -> None:
        self._selector.close()
        self._listener.close()
        for watch, connection in self._children.values():
            os.close(watch)
            connection.close()


def _accept(connection: socket.socket) -> tuple[list[str], list[int]]:
    data, descriptors, _, _ = socket.recv_fds(connection, 65_536, 3)
    while not data.endswith(b"\n"):
        more = connection.recv(65_536)
        if not more:
            return [], list(descriptors)
        data += more
    return json.loads(data), list(descriptors)


def _tell(connection: socket.socket, answer: dict[str, int]) -> None:
    with suppress(OSError):  # nobody may wait for it any more
        connection.sendall(json.dumps(answer).encode() + b"\n")


def share_imports_with_workers() -> None:
    """Have the trainer in this process start its training worker by the nursery too."""
    plain = subprocess.Popen.__init__

    def start(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(command, list) and command[:2] == [sys.executable, "-m"] and command[2] in WORKERS:
            command = [sys.executable, "-S", __file__, "relay", *command[1:]]
        plain(self, command, *arguments, **options)

    subprocess.Popen.__init__ = start  # type: ignore[method-assign]


def main() -> None:
    """Import what all commands need, then bear; a child goes on here with its command."""
    for module in ("service.cli", "service.server", "service.train.worker", "service.trainer"):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else the first collection in every child copies all pages
    command = Cradle().bear()
    if command:
        share_imports_with_workers()
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["relay"]:
        sys.exit(relay(sys.argv[2:]))
    main()
