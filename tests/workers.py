"""What tests of the real training worker share."""

import time

from service.observer import Observer
from service.train.supervisor import TrainingWorker


class Restarts(Observer):
    """Counts restarts by cause."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def worker_restarted(self, cause: str) -> None:
        """Keep the cause."""
        self.causes.append(cause)


def await_ready(worker: TrainingWorker) -> None:
    """Wait until the worker has reported itself ready."""
    while not worker.ready:
        time.sleep(0.02)
