"""The real worker process: trains, survives what a round raises, and is replaced when it dies or hangs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import structlog

from service.errors import RoundFailedError
from service.observer import Observer
from service.settings import Log, Worker
from service.train.fit import train_round
from service.train.round import Round, read_outcome, write_round
from service.train.supervisor import TrainingWorker
from tests.examples import learner_of, separable
from tests.workers import Restarts, await_ready


@pytest.fixture
def restarts() -> Restarts:
    """Return an observer of the worker."""
    return Restarts()


@pytest.fixture
def worker(restarts: Restarts) -> Iterator[TrainingWorker]:
    """Return a worker that is ready, and stop it afterwards."""
    made = TrainingWorker(Worker(heartbeat_seconds=60.0, backoff_seconds=0.01, niceness=0), restarts)
    made.start()
    await_ready(made)
    yield made
    made.stop()


def in_a_while(worker: TrainingWorker, number: signal.Signals) -> int:
    """Send the worker a signal once it is in the middle of a round, for that is what costs it time; return its id."""
    pid = worker.pid
    assert pid is not None
    process = psutil.Process(pid)
    before = process.cpu_times().user

    def strike() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was taken for hung already, on a machine that hangs
            while process.cpu_times().user < before + 0.5:
                time.sleep(0.02)
            process.send_signal(number)

    threading.Thread(target=strike, daemon=True).start()
    return pid


def a_round(steps: int = 20) -> Round:
    """Return a small first round."""
    learner = learner_of(train={"first_steps": steps, "stopping_share": 0.0})
    learner.absorb(separable(200))
    return learner.begin_round("first_events", 0.0)


def test_it_trains_as_the_pure_function_does(worker: TrainingWorker, tmp_path: Path) -> None:
    """The process gives the same weights as a call in this one."""
    given = a_round()
    write_round(tmp_path, given)
    there, here = worker.run(tmp_path).trained[0], train_round(given).trained[0]
    for name in here.weights:
        np.testing.assert_allclose(there.weights[name], here.weights[name], rtol=1e-5, atol=1e-6)


def test_a_round_that_fails_leaves_the_worker_alive(worker: TrainingWorker, restarts: Restarts, tmp_path: Path) -> None:
    """A NaN loss and an unreadable directory are told; the same process trains the next round."""
    pid = worker.pid
    given = a_round()
    weights = {name: np.full_like(array, np.nan) for name, array in train_round(given).trained[0].weights.items()}
    broken = replace(given, challengers=(replace(given.challengers[0], weights=weights),))
    write_round(tmp_path / "1", broken)
    with pytest.raises(RoundFailedError, match=r"no loss of .* stayed a number") as caught:
        worker.run(tmp_path / "1")
    assert caught.value.cause == "not_finite"
    with pytest.raises(RoundFailedError, match="FileNotFoundError"):
        worker.run(tmp_path / "absent")
    write_round(tmp_path / "2", given)
    assert worker.run(tmp_path / "2").trained
    assert worker.pid == pid
    assert restarts.causes == []


def test_what_the_worker_logs_carries_the_ids_of_its_round(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A line of JSON with whatever is bound where the round was asked for, and with the traceback."""
    worker = TrainingWorker(Worker(niceness=0), Observer(), log=Log(format="json"))
    worker.start()  # here, so that its standard error is the one that is looked at
    with structlog.contextvars.bound_contextvars(round=7, trace_id="abc"), pytest.raises(RoundFailedError):
        worker.run(tmp_path / "absent")
    worker.stop()
    told = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert told["event"] == "a round raised what nobody foresaw"
    assert (told["round"], told["trace_id"]) == (7, "abc")
    assert "read_round" in told["exception"]


def test_a_killed_worker_is_replaced(worker: TrainingWorker, restarts: Restarts, tmp_path: Path) -> None:
    """The round fails as a crash, and the next one is trained by a new process."""
    write_round(tmp_path / "1", a_round(steps=1_000_000))
    first = in_a_while(worker, signal.SIGKILL)
    with pytest.raises(RoundFailedError, match="ended with exit code -9") as caught:
        worker.run(tmp_path / "1")
    assert caught.value.cause == "crash"
    assert restarts.causes == ["crash"]
    write_round(tmp_path / "2", a_round())
    assert worker.run(tmp_path / "2").trained
    assert worker.pid != first


def test_a_silent_worker_is_taken_for_hung_and_replaced(
    worker: TrainingWorker, restarts: Restarts, tmp_path: Path
) -> None:
    """No heartbeat for heartbeat_seconds ends the round and the process."""
    worker._settings = worker._settings.model_copy(update={"heartbeat_seconds": 3.0})
    write_round(tmp_path, a_round(steps=1_000_000))
    first = in_a_while(worker, signal.SIGSTOP)
    with pytest.raises(RoundFailedError, match="gave no answer within 3 s") as caught:
        worker.run(tmp_path)
    assert caught.value.cause == "hang"
    assert restarts.causes == ["hang"]
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_round_over_its_deadline_is_abandoned(restarts: Restarts, tmp_path: Path) -> None:
    """A worker that beats but does not end is stopped too."""
    worker = TrainingWorker(Worker(deadline_seconds=1.0, backoff_seconds=0.01), restarts)
    worker.start()
    await_ready(worker)
    write_round(tmp_path, a_round(steps=1_000_000))
    with pytest.raises(RoundFailedError, match="deadline"):
        worker.run(tmp_path)
    worker.stop()
    assert restarts.causes == ["deadline"]


def test_no_round_begins_once_the_worker_was_stopped(restarts: Restarts, tmp_path: Path) -> None:
    """A stop may come while the round's folder is being written: no new process is started for it."""
    worker = TrainingWorker(Worker(), restarts)
    worker.start()
    worker.stop()
    ended = worker.pid
    write_round(tmp_path, a_round())
    with pytest.raises(RoundFailedError, match="the trainer stops"):
        worker.run(tmp_path)
    assert worker.pid == ended


def test_the_worker_ends_with_its_trainer(tmp_path: Path) -> None:
    """A trainer killed in the middle of a round leaves no orphan: the end of its pipe ends the worker."""
    write_round(tmp_path, a_round(steps=1_000_000))
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from service.observer import Observer\n"
        "from service.settings import Worker\n"
        "from service.train.supervisor import TrainingWorker\n"
        "worker = TrainingWorker(Worker(), Observer())\n"
        "worker.start()\n"
        "while not worker.ready: time.sleep(0.02)\n"
        "print(worker.pid, flush=True)\n"
        "worker.run(Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        worker_pid = int(trainer.stdout.readline())
        time.sleep(0.3)
        trainer.kill()
        trainer.wait()
    limit = time.monotonic() + 30
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(worker_pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < limit
            time.sleep(0.05)


def test_any_round_can_be_run_again_by_hand(tmp_path: Path) -> None:
    """`python -m service.train DIRECTORY` trains it, writes the candidate and tells its losses."""
    write_round(tmp_path, a_round())
    ran = subprocess.run(
        [sys.executable, "-m", "service.train", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert '"recent_loss"' in ran.stdout
    assert read_outcome(tmp_path).trained[0].steps == 20


def test_a_directory_that_is_no_round_is_one_line(tmp_path: Path) -> None:
    """The command says what is missing and exits 1."""
    ran = subprocess.run(
        [sys.executable, "-m", "service.train", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "round.json" in ran.stderr


@pytest.mark.parametrize(
    ("device", "words"), [("gpu", "device"), ("CUDA", "match pattern"), ("cuda", "network of your own")]
)
def test_a_device_that_a_round_cannot_have_is_one_line(tmp_path: Path, device: str, words: str) -> None:
    """Whether nobody has it, it is spelt wrong, or the round is of the built-in networks."""
    write_round(tmp_path, a_round())
    command = [sys.executable, "-m", "service.train", str(tmp_path), "--device", device]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert words in ran.stderr
