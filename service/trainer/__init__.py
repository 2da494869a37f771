"""The trainer: everything left of serving, joined. One learns per store and group; others stand by."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event

import structlog
import torch

from service.configuration import require_schema
from service.drift.monitor import watched
from service.errors import LeaseHeldError, StoreBusyError, StoreError, StoreUnavailableError
from service.ingest.connect import open_sink, open_source
from service.ingest.dead_letters import DeadLetters
from service.learner.admission import require_model
from service.learner.learner import Learner
from service.learner.portfolio import recipes_of
from service.logs import configure_logs
from service.metrics import TrainerObserver
from service.observer import Observer
from service.probes import ProbeServer
from service.settings import Settings
from service.store.files import make_folder
from service.store.lease import Lease
from service.store.lease_keeper import LeaseKeeper
from service.tracing.trainer import trainer_parts
from service.train.supervisor import TrainingWorker
from service.trainer.given import publish_given_weights
from service.trainer.grace import bounded_stop
from service.trainer.loop import TrainerLoop
from service.trainer.publisher import Publisher
from service.trainer.rounds import RoundRunner
from service.trainer.start import go_on
from service.validate.gate import DECISION_REASONS

log = structlog.get_logger(__name__)

STANDBY_LOOKS_SECONDS = 1.0

SWITCH_SECONDS = 0.001
"""After so long the thread that takes events in lets the one that publishes have its turn; Python's own is 5 ms."""


class Readiness:
    """What `/readyz` and `/healthz` say: a fixed reason until there is a loop to ask."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"
        self.loop: TrainerLoop | None = None

    def __call__(self) -> str | None:
        """Return why the trainer is not ready, None if it is."""
        return self.loop.problem if self.loop is not None else self.reason

    def alive(self) -> str | None:
        """Return why the trainer is past help, None if it is not: what `/healthz` says."""
        return self.loop.stuck if self.loop is not None else None


def train(settings: Settings, *, standby: bool = True) -> None:
    """Be the trainer until SIGTERM or SIGINT; with another one at work, stand by for it.

    Raises LeaseHeldError at once when another trainer works and ``standby`` is False, LeaseLostError when superseded,
    ConfigurationError without a schema or with a port that is taken, and StoreError for a state that does not fit.
    """
    require_schema(settings)
    configure_logs(settings.log)
    metrics = TrainerObserver(
        settings.task, decisions=DECISION_REASONS, drift=watched(settings.schema_), members=recipes_of(settings)
    )
    readiness = Readiness()
    metrics.watch_readiness(readiness)
    parts = trainer_parts(settings, metrics)
    with stop_signals() as stop, bounded_stop(stop, settings.trainer.grace_seconds), ExitStack() as cleanup:
        probes = ProbeServer(
            settings.trainer.host, settings.trainer.port, metrics.registry, readiness, alive=readiness.alive
        )
        cleanup.callback(parts.close)
        cleanup.callback(probes.stop)
        probes.start()
        learn(settings, parts.observer, stop, readiness, standby=standby)


def learn(
    settings: Settings, observer: Observer, stop: Event, readiness: Readiness | None = None, *, standby: bool = True
) -> None:
    """Acquire the lease and run the trainer's loop until ``stop`` is set; raises as ``train`` does."""
    ready = readiness or Readiness()
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_SECONDS)
    require_model(settings)
    lease = Lease(settings.store.path, f"{socket.gethostname()}:{os.getpid()}", settings.trainer.lease_seconds)
    fence = _acquire(lease, stop, ready, observer, standby=standby)
    if fence is None:
        return
    with ExitStack() as cleanup:
        cleanup.callback(_let_go, lease)
        cleanup.callback(observer.leased, held=False)
        observer.leased(held=True)
        keeper = cleanup.enter_context(LeaseKeeper(lease))
        train = settings.train
        worker = TrainingWorker(train.worker, observer, train.model.module, settings.log, train.device)
        cleanup.callback(worker.stop)
        worker.start()
        source, sink = open_source(settings), open_sink(settings)
        cleanup.callback(source.close)
        cleanup.callback(sink.close)
        publisher = Publisher(settings, lease, fence, DeadLetters(sink, observer), observer)
        publisher.sweep()
        publish_given_weights(settings, publisher)
        learner = Learner(settings, observer)
        log.info("trainer starts", where=go_on(learner, publisher), fence=fence, topic=settings.source.topic)
        rounds = settings.trainer.state_path / "rounds"
        make_folder(rounds)
        runner = RoundRunner(rounds, settings.train.worker, worker, observer)
        loop = TrainerLoop(settings, source, learner, publisher, runner, keeper, observer)
        # What is loaded by now stays: later collections need not look at it (a full one takes 100 ms).
        gc.collect()
        gc.freeze()
        ready.loop = loop
        try:
            loop.run(stop)
        finally:
            ready.loop, ready.reason = None, "stopping"
            loop.close(worker.stop)
            gc.unfreeze()  # else the interpreter's end cannot take the libraries apart, and they complain
        log.info("trainer stopped", events=learner.counts["accepted"])


def _let_go(lease: Lease) -> None:
    """Give the lease back; where that cannot be written, it lapses by itself."""
    try:
        lease.release()
    except StoreError as error:
        log.warning("the lease could not be given back", problem=str(error))


def _acquire(lease: Lease, stop: Event, ready: Readiness, observer: Observer, *, standby: bool) -> int | None:
    """Return the fencing number, waiting for it as a standby; None when told to stop before."""
    told = None
    while not stop.is_set():
        try:
            fence = lease.try_acquire()
            observer.store_reached()
            if fence is not None:
                return fence
            holder = str(lease.holder() or "a trainer that has just let go")
        except StoreUnavailableError as error:
            if not standby or (told is None and not isinstance(error, StoreBusyError)):
                raise  # never reached yet: rather a wrong path than a passing trouble
            ready.reason = f"standing by, and the store cannot be reached: {error}"
            if told != str(error):
                log.warning("standing by; the store cannot be reached", problem=str(error))
                told = str(error)
            stop.wait(STANDBY_LOOKS_SECONDS)
            continue
        if not standby:
            raise LeaseHeldError(f"{lease.path}: the lease is held by {holder}; stop it, or leave out --no-standby")
        ready.reason = f"standing by: the lease is held by {holder}"
        if told != holder:
            log.info("standing by", lease=str(lease.path), holder=holder)
            told = holder
        stop.wait(STANDBY_LOOKS_SECONDS)
    return None


@contextmanager
def stop_signals() -> Iterator[Event]:
    """Turn SIGTERM and SIGINT into an event for the duration of the block."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
