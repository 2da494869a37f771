"""The whole service as its user starts it: real commands, real processes, real ports."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import yaml

from tests.acceptance.nursery import ROOT, Child, Nursery
from tests.ports import free_port

pytest.register_assert_rewrite("tests.acceptance.faults")  # so that what does not add up is shown

START_SECONDS = 90.0
ANSWER_SECONDS = 30.0
"""How long to wait for one answer: a process that is starved for seconds is not one that does not answer."""

Process = subprocess.Popen[bytes] | Child


def eventually(look: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> Any:
    """Return what ``look`` returns once there is something in it; fail, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {seconds:g} s in vain for: {what}")


def piped_into(path: Path) -> IO[bytes]:
    """Return a pipe whose other end a thread of this process copies to a file."""
    reading, writing = os.pipe()

    def copy() -> None:
        with os.fdopen(reading, "rb", buffering=0) as source, path.open("wb", buffering=0) as target:
            shutil.copyfileobj(source, target, 1)

    threading.Thread(target=copy, name="log", daemon=True).start()
    return os.fdopen(writing, "wb")


class Service:
    """A configuration in a folder of its own, and the commands that use it, by a nursery where one is given."""

    def __init__(self, folder: Path, nursery: Nursery | None = None, **sections: Any) -> None:
        self.folder = folder
        self._nursery = nursery
        self.server_port, self.trainer_port = free_port(), free_port()
        tree: dict[str, Any] = {
            "task": "binary",
            "schema": {"numeric": ["a", "b"], "labels": ["no", "yes"]},
            "source": {"topic": "events", "embedded": {"path": str(folder / "log.sqlite")}},
            "window": {"events": 500},
            "trigger": {"every_events": 300},
            "train": {"steps": 20, "first_steps": 100, "model": {"hidden": [16]}},
            "store": {"path": str(folder / "store")},
            "trainer": {"port": self.trainer_port, "state_path": str(folder / "state"), "snapshot_seconds": 0.3},
            "serve": {"port": self.server_port},
        }
        for name, values in sections.items():
            tree[name] = {**tree.get(name, {}), **values} if isinstance(values, dict) else values
        self.topic: str = tree["source"]["topic"]
        self.config = folder / "freshet.yaml"
        self.config.write_text(yaml.safe_dump(tree))
        self._running: list[Process] = []

    def start(
        self,
        *command: str,
        module: str = "service",
        before: Sequence[str] = (),
        prefix: Sequence[str] = (),
        piped: bool = False,
    ) -> Process:
        """Start a command that goes on; its log is beside the configuration.

        ``module`` is run in place of the program, with arguments ``before`` the command. A ``prefix`` is a program that
        starts ours, never by the nursery. ``piped``: the process itself writes no log file, where it may write none.
        """
        arguments = ["-m", module, *before, *command, "--config", str(self.config)]
        path = self.log(len(self._running), command[0])
        with piped_into(path) if piped else path.open("wb") as log:
            if self._nursery is not None and not prefix:
                process: Process = self._nursery.start(arguments, log.fileno())
            else:
                process = subprocess.Popen([*prefix, sys.executable, *arguments], cwd=ROOT, stderr=log, stdout=log)
        self._running.append(process)
        return process

    def log(self, number: int, role: str = "train") -> Path:
        """Return the log of the n-th process that was started, from 0."""
        return self.folder / f"{role}-{number}.log"

    def said(self, number: int = -1, role: str = "train") -> str:
        """Return what the n-th started process has logged so far, by default the newest."""
        return self.log(range(len(self._running))[number], role).read_text()

    def run(self, *command: str, exit_code: int = 0) -> Any:
        """Run a command to its end with --json and return what it answered."""
        ran = subprocess.run(
            [sys.executable, "-m", "service", *command, "--config", str(self.config), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == exit_code, ran.stderr
        return json.loads(ran.stdout) if ran.stdout else None

    def send(self, name: str, rows: list[dict[str, Any]], *options: str) -> Any:
        """Send rows as a JSON Lines file."""
        file = self.folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.run("send", str(file), *options)

    def status(self) -> dict[str, Any]:
        """Return the trainer's status, empty before it has one."""
        try:
            return dict(json.loads((self.folder / "store" / "status.json").read_bytes()))
        except FileNotFoundError:
            return {}

    def forget_status(self) -> None:
        """Delete what the last trainer said about itself: it must not be taken for its successor's word."""
        (self.folder / "store" / "status.json").unlink(missing_ok=True)

    def accepted(self) -> int:
        """Return how many events the trainer's state holds as accepted."""
        return int(self.status().get("events", {}).get("accepted", 0))

    def get(self, path: str, *, trainer: bool = False) -> httpx.Response | None:
        """Ask the server, or the trainer; None while nobody answers."""
        port = self.trainer_port if trainer else self.server_port
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_SECONDS)
        except httpx.TransportError:
            return None

    def predict(self, **features: float) -> httpx.Response:
        """Ask for one prediction."""
        body = {"instances": [features]}
        return httpx.post(f"http://127.0.0.1:{self.server_port}/v1/predict", json=body, timeout=ANSWER_SECONDS)

    def await_ready(self, *, trainer: bool = False) -> None:
        """Wait until a role says that it is ready."""

        def ready() -> bool:
            answer = self.get("/readyz", trainer=trainer)
            return answer is not None and answer.status_code == 200

        eventually(ready, f"{'trainer' if trainer else 'server'} to be ready; see the logs in {self.folder}")

    def metric(self, name: str, *, trainer: bool = True) -> float:
        """Return the sum of a metric's series; NaN if nobody answers or there is none."""
        answer = self.get("/metrics", trainer=trainer)
        lines = answer.text.splitlines() if answer is not None else []
        values = [float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(values) if values else float("nan")

    def close(self) -> None:
        """End what is still running."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
        for process in self._running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def close_and_tell(service: Service) -> None:
    """End a service and write its logs out, which are shown when the test failed."""
    service.close()
    for log in sorted(service.folder.glob("*.log")):
        sys.stdout.write(f"--- {log.name}\n{log.read_text()[-4_000:]}\n")


MakeService = Callable[..., Service]
Figure = Callable[[str], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Return what shows a line on the terminal though the test passes: a figure for docs/RELIABILITY.md."""
    plugins = request.config.pluginmanager
    capture, reporter = plugins.get_plugin("capturemanager"), plugins.get_plugin("terminalreporter")
    assert capture is not None
    assert reporter is not None

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return show


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Yield what starts processes without importing torch each time."""
    one = Nursery(tmp_path_factory.mktemp("nursery"))
    yield one
    one.close()


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Return a maker of services; they are stopped at the end, and their logs shown when the test failed."""
    made: list[Service] = []

    def make(*, nursery: Nursery | None = None, **sections: Any) -> Service:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        made.append(Service(folder, nursery, **sections))
        return made[-1]

    yield make
    for service in made:
        close_and_tell(service)
