"""Runs the trainer with a training worker that a file makes fail, in each of the ways in which real ones do.

    python -m tests.acceptance.worker_faults FILE -- train --config freshet.yaml

The file holds the name of a fault, or nothing for a healthy worker; it is read at the begin of each round.
"""

import os
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

SPARE_BYTES = 64 * 2**20


def not_a_number(given: Any) -> Any:
    """Have the round see its numbers on a scale that is none, so that no challenger's loss is a number."""
    import numpy as np  # noqa: PLC0415

    encoder = given.encoder
    return replace(given, encoder=replace(encoder, scales=np.full_like(encoder.scales, np.nan)))


def exception(given: Any) -> Any:
    """Raise what nobody foresaw."""
    message = f"round {given.number}: a fault for the test"
    raise RuntimeError(message)


def hang(given: Any) -> Any:
    """Fall silent, alive."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return given


def memory(given: Any) -> Any:
    """Ask the system for more memory than it gives."""
    import numpy as np  # noqa: PLC0415

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, resource.RLIM_INFINITY))
    try:
        np.ones(SPARE_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return given


def killed(given: Any) -> Any:
    """End as the system's out-of-memory killer ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return given


FAULTS: dict[str, Callable[[Any], Any]] = {
    "nan": not_a_number,
    "exception": exception,
    "hang": hang,
    "memory": memory,
    "killed": killed,
}
"""What can happen to a round, by name."""


def be_the_trainer(file: str, command: list[str]) -> None:
    """Run the program with workers of this module."""
    start = subprocess.Popen.__init__

    def with_faults(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(command, list) and command[:3] == [sys.executable, "-m", "service.train"]:
            command = [sys.executable, "-m", "tests.acceptance.worker_faults", file, *command[3:]]
        start(self, command, *arguments, **options)

    subprocess.Popen.__init__ = with_faults  # type: ignore[method-assign]
    sys.argv = ["freshet", *command]
    runpy.run_module("service", run_name="__main__", alter_sys=True)


def be_the_worker(file: Path, arguments: list[str]) -> None:
    """Be a worker whose rounds meet the fault that the file names."""
    from service.train import worker  # noqa: PLC0415

    train_round = worker.train_round

    def with_fault(given: Any, *rest: Any) -> Any:
        fault = file.read_text().strip()
        return train_round(FAULTS[fault](given) if fault else given, *rest)

    worker.train_round = with_fault
    sys.argv = ["service.train", *arguments]
    runpy.run_module("service.train", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[2] == "--":
        be_the_trainer(sys.argv[1], sys.argv[3:])
    else:
        be_the_worker(Path(sys.argv[1]), sys.argv[2:])
