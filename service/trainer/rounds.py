"""Carries rounds out for the trainer, in a background thread: writes the directory, has the worker train it."""

import contextlib
import shutil
import time
from pathlib import Path

from service.errors import RoundFailedError
from service.observer import Observer
from service.settings import Worker
from service.train.round import Outcome, Round, write_round
from service.train.supervisor import TrainingWorker

FAILED = "failed.txt"


class RoundRunner:
    """Runs one round at a time under ``path``, in the ``worker``.

    Keeps the newest directories, those of failed rounds longest.
    """

    def __init__(self, path: Path, settings: Worker, worker: TrainingWorker, observer: Observer) -> None:
        self.worker = worker
        self._path = path
        self._settings = settings
        self._observer = observer

    @property
    def problem(self) -> str | None:
        """Why no round can be trained now, None if one can."""
        return None if self.worker.ready else "the training worker is starting"

    def run(self, given: Round) -> Outcome:
        """Train a round; raises RoundFailedError, with the round's directory kept."""
        directory = self._path / f"{given.number:06d}"
        began = time.perf_counter()
        try:
            shutil.rmtree(directory, ignore_errors=True)
            write_round(directory, given)
            self._observer.phase_ended("prepare", time.perf_counter() - began)
            outcome = self.worker.run(directory)
        except OSError as error:
            raise RoundFailedError(f"{directory}: the round cannot be written: {error.strerror}", "error") from None
        except RoundFailedError as error:
            with contextlib.suppress(OSError):  # a full disk may be why the round failed
                (directory / FAILED).write_text(f"{error.cause}: {error}\n")
            raise
        finally:
            with contextlib.suppress(OSError):
                self._tidy()
        self._observer.phase_ended("train", outcome.seconds)
        return outcome

    def _tidy(self) -> None:
        rounds = sorted((entry for entry in self._path.iterdir() if entry.is_dir()), reverse=True)
        failed = [entry for entry in rounds if (entry / FAILED).exists()]
        finished = [entry for entry in rounds if entry not in failed]
        for old in finished[self._settings.keep_rounds :] + failed[self._settings.keep_failed_rounds :]:
            shutil.rmtree(old, ignore_errors=True)
