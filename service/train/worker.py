"""The live worker's side of the conversation: directories come in on standard input, progress goes out.

One JSON object a line. In: ``{"round": DIRECTORY, "ids": {…}}``; log lines of the round carry the ids.
Out: ``{"ready": true}`` once all is loaded,
``{"beat": true}`` while a round goes on, then ``{"done": DIRECTORY}`` or
``{"failed": DIRECTORY, "cause": …, "message": …}``. The end of standard input means that the trainer is gone: the
worker leaves at once, in the middle of a round too, so that none outlives its trainer.
"""

import gc
import json
import os
import queue
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import structlog
import torch

from service.errors import RoundFailedError
from service.model.custom import told
from service.train.device import start_device
from service.train.fit import train_round
from service.train.round import read_round, write_outcome

BEAT_SECONDS = 1.0

log = structlog.get_logger(__name__)


def work(niceness: int, device: str | None = None) -> None:
    """Serve rounds until standard input ends; those that it is started for are trained on ``device``."""
    os.nice(niceness)
    torch.set_num_threads(1)
    # Whatever else prints must not break the conversation.
    answers, sys.stdout = sys.stdout, sys.stderr
    asked: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(asked,), name="listen", daemon=True).start()
    if device is not None:
        start_device(device)  # in the middle of a round so long a silence would look as if it hung
    gc.collect()
    gc.freeze()
    _say(answers, {"ready": True})
    meter = _Meter()
    while True:
        request = json.loads(asked.get())
        with structlog.contextvars.bound_contextvars(**request.get("ids", {})):
            _one_round(Path(request["round"]), answers, meter)


def _one_round(directory: Path, answers: TextIO, meter: "_Meter") -> None:
    accelerated = False
    try:
        given = read_round(directory)
        accelerated = given.settings.on_accelerator
        outcome = train_round(given, _Pulse(answers).beat)
        write_outcome(directory, replace(outcome, cpu_seconds=cost(meter.spent(), outcome.seconds, accelerated)))
    except RoundFailedError as error:
        _say(answers, {"failed": str(directory), "cause": error.cause, "message": str(error)})
    except Exception as error:  # whatever a round raises, the worker lives on and tells
        log.exception("a round raised what nobody foresaw")  # of the user's own network, only this says where
        # What torch raises may leave an accelerator unusable to this process; after a crash another one is started.
        cause = "crash" if accelerated and isinstance(error, RuntimeError) else "error"
        _say(answers, {"failed": str(directory), "cause": cause, "message": told(error)})
    else:
        _say(answers, {"done": str(directory)})
        return
    meter.spent()  # the trainer charges a failed round by the clock


def cost(cpu_seconds: float, seconds: float, accelerated: bool) -> float:  # noqa: FBT001 - of the round, like the rest
    """Return what a round is charged with: the processor's time, and its duration if it had an accelerator.

    What that does costs the processor little, but nobody else has it meanwhile.
    """
    return max(cpu_seconds, seconds) if accelerated else cpu_seconds


class _Meter:
    """Tells what this process has cost in processor time: all of it, loading and writing too, and each second once."""

    def __init__(self) -> None:
        self._told = 0.0

    def spent(self) -> float:
        """Return the processor seconds since the last call, at first since the process began."""
        before, self._told = self._told, time.process_time()
        return self._told - before


class _Pulse:
    """Tells that a round goes on, at most once a second however short its steps are."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._told = time.monotonic()

    def beat(self) -> None:
        if time.monotonic() - self._told >= BEAT_SECONDS:
            self._told = time.monotonic()
            _say(self._answers, {"beat": True})


def _listen(asked: queue.Queue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


def _say(answers: TextIO, message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()
