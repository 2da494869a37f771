"""`freshet run` watches real child processes: restarts, exit codes, and the order of stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from service import run
from service.run import Child, how, where_to_look
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DRIVER = """
import json, sys
from service.logs import configure_logs
from service.run import Child, watch
from service.settings import Log
configure_logs(Log())
commands = json.loads(sys.argv[1])
children = [Child(name, [sys.executable, "-c", code]) for name, code in commands.items()]
print(json.dumps(watch(children, float(sys.argv[2]))))
"""
LIVE = """
import os, time
with open({file!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
time.sleep(600)
"""
POLITE = """
import signal, sys, time
def bye(*_):
    open({file!r}, "a").write("bye\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
open({file!r}, "a").write("ready\\n")
time.sleep(600)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({file!r}, "a").write("ready\\n")
time.sleep(600)
"""

Watch = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def watching() -> Iterator[Watch]:
    """Return a function that starts a process which watches children given as Python code."""
    started: list[subprocess.Popen[str]] = []

    def start(*, grace_seconds: float = 20.0, **code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", DRIVER, json.dumps(code), str(grace_seconds)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lines(file: Path, count: int) -> list[str]:
    """Wait until a file has so many whole lines, and return them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = file.read_text() if file.exists() else ""
        if text.count("\n") >= count:
            return text.split()
        time.sleep(0.02)
    pytest.fail(f"{file.name} never had {count} lines")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_child_is_started_again_and_a_stop_ends_with_0(watching: Watch, tmp_path: Path) -> None:
    """A child that dies by a signal comes back; the other one is left alone."""
    first, second = tmp_path / "first", tmp_path / "second"
    process = watching(first=LIVE.format(file=str(first)), second=LIVE.format(file=str(second)))
    lines(second, 1)
    os.kill(int(lines(first, 1)[0]), signal.SIGKILL)
    pids = [int(pid) for pid in lines(first, 2) + lines(second, 1)]
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out) == {"first": 1, "second": 0}
    assert "signal SIGKILL" in err
    assert not any(map(is_alive, pids))


def test_a_child_that_ends_with_2_ends_everything_with_2(watching: Watch, tmp_path: Path) -> None:
    """A wrong configuration does not get better by starting again."""
    file = tmp_path / "pid"
    wrong = f"import os, time\nwhile not os.path.exists({str(file)!r}): time.sleep(0.01)\nraise SystemExit(2)"
    process = watching(live=LIVE.format(file=str(file)), wrong=wrong)
    pid = int(lines(file, 1)[0])
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert not is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_passed_on_as_sigterm(watching: Watch, tmp_path: Path, number: int) -> None:
    """Children get the time to end by themselves."""
    file = tmp_path / "said"
    process = watching(polite=POLITE.format(file=str(file)))
    lines(file, 1)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert lines(file, 2) == ["ready", "bye"]


def test_a_child_that_does_not_stop_is_killed_after_the_grace_time(watching: Watch, tmp_path: Path) -> None:
    """A stop ends, whatever a child does."""
    file = tmp_path / "said"
    process = watching(grace_seconds=0.2, deaf=DEAF.format(file=str(file)))
    lines(file, 1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_pauses_double_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that keeps failing is tried more and more rarely."""
    monkeypatch.setattr(run, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(run, "LONGEST_PAUSE_SECONDS", 0.004)
    child = Child("failing", [sys.executable, "-S", "-c", "raise SystemExit(1)"])
    deadline = time.monotonic() + 60
    with structlog.testing.capture_logs() as logs:
        while len(logs) < 4 and time.monotonic() < deadline:
            child.start_when_due()
            child.ended()
    assert [entry["pause_seconds"] for entry in logs] == [0.001, 0.002, 0.004, 0.004]


def test_an_end_is_said_in_words() -> None:
    """Signals are named."""
    assert [how(1), how(-signal.SIGKILL), how(-999)] == ["exit code 1", "signal SIGKILL", "signal 999"]


def test_addresses_to_look_at_can_be_opened() -> None:
    """An address that means every interface is shown as one that a browser can open."""
    settings = Settings.model_validate({"serve": {"host": "0.0.0.0"}, "trainer": {"host": "::", "port": 9}})  # noqa: S104
    text = where_to_look(settings)
    assert "http://127.0.0.1:8000/docs" in text
    assert "http://[::1]:9/metrics" in text


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path, watching: Watch) -> None:
    """SIGKILL leaves `freshet run` no time to stop anybody: the system does it."""
    file = tmp_path / "said"
    tied = "from service.parent import end_with_parent\n" + POLITE.format(file=str(file)).replace(
        f'open({str(file)!r}, "a").write("ready',
        f'end_with_parent()\nopen({str(file)!r}, "a").write("ready',
    )
    process = watching(trainer=tied, server=tied)
    assert lines(file, 2) == ["ready", "ready"]
    process.kill()
    assert sorted(lines(file, 4)) == ["bye", "bye", "ready", "ready"]
