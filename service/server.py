"""The server's composition root: model, watcher, event desk and HTTP, joined and run until told to stop."""

import gc
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
import torch

from service.configuration import require_schema
from service.errors import SourceUnavailableError
from service.ingest.connect import open_sink
from service.ingest.dead_letters import DeadLetters
from service.ingest.decode import Decoder
from service.ingest.source import TOO_LARGE
from service.logs import configure_logs
from service.metrics import ServerObserver
from service.model.features import FeatureColumns
from service.model.trial import require_module
from service.model.vocabulary import Categories, Labels
from service.observer import Observer
from service.probes import listen, probe_routes
from service.records import Partition, RecordBatch, Refusal
from service.serve.api import KNOWN_ANSWERS, create_app
from service.serve.bounds import MAX_TARGET_BYTES
from service.serve.connection import Limits
from service.serve.http import HttpServer
from service.serve.predictor import Predictor
from service.serve.shadow import Shadow
from service.serve.watcher import Watcher
from service.settings import Settings
from service.store.checkpoints import CheckpointStore
from service.tracing.server import server_parts

FLUSH_SECONDS = 5.0
"""Longest wait for the source to make events durable, before the client is asked to come back."""

SWITCH_SECONDS = 0.001
"""After so long a thread that answers a large batch lets the event loop have its turn; Python's own is 5 ms."""

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Answer over HTTP until SIGTERM or SIGINT; then open requests have ``serve.grace_seconds`` to finish.

    Further signals change nothing, but for a second SIGINT, which ends the drain. Raises ConfigurationError without a
    schema, if ``serve.tokens_file`` is wrong, or if ``serve.port`` cannot be had.
    """
    configure_logs(settings.log)
    server = Server(settings)
    with server.stopped_by_signals():
        server.run()


class Server:
    """All parts of the serving role."""

    def __init__(self, settings: Settings) -> None:
        require_schema(settings)
        require_module(settings, weights=False)
        self._settings = settings
        shadows, labelled = settings.serve.shadow.candidates, settings.task != "regression"
        metrics = ServerObserver(answers=KNOWN_ANSWERS, shadows=shadows, labelled=labelled)
        self._parts = parts = server_parts(settings, metrics)
        observer = parts.observer
        store = CheckpointStore(settings.store.path, settings.store.keep)
        self._predictor = predictor = Predictor()
        self._watcher = Watcher(settings, store, predictor, observer)
        self._desk = SourceDesk(settings, predictor, observer)
        metrics.watch_readiness(self.ready)
        probes = probe_routes(metrics.registry, ready=self.ready, alive=self._watcher.alive)
        self._shadow = Shadow(settings, store, predictor, observer) if shadows else None
        app = create_app(
            settings,
            predictor,
            store,
            self._desk,
            observer,
            probes=probes,
            closing=self._closing,
            shadow=self._shadow,
            ready=self.ready,
            alive=self._watcher.alive,
            batcher=parts.batcher,
        )
        limits = Limits(
            connections=settings.serve.max_connections,
            head_bytes=settings.serve.max_header_bytes + MAX_TARGET_BYTES,
            head_seconds=settings.serve.head_seconds,
            body_seconds=settings.serve.body_seconds,
            keep_alive_seconds=settings.serve.keep_alive_seconds,
        )
        self._http = HttpServer(
            parts.around(app),
            limits,
            grace_seconds=settings.serve.grace_seconds,
            announce_seconds=settings.serve.announce_seconds,
        )

    def run(self) -> None:
        """Listen, load the model, answer until ``stop``, then drain and free everything.

        Raises ConfigurationError if ``serve.port`` cannot be had.
        """
        serve = self._settings.serve
        listener = listen(serve.host, serve.port, "serve.port")  # first: no model is loaded in vain
        # One forward pass is too small to share; more threads would only fight over the cores.
        torch.set_num_threads(1)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._watcher.start()
            # What is loaded by now stays for good. Left to the collector it would cost about 100 ms at every pass.
            gc.collect()
            gc.freeze()
            if self._shadow is not None:
                self._shadow.start()
            log.info("server answers", url=self.url, docs=f"{self.url}/docs")
            self._http.run(sockets=[listener])
        finally:
            # Requests have ended by now; the watcher and the sink they used come last.
            if self._shadow is not None:
                self._shadow.stop()
            self._watcher.stop()
            self._desk.close()
            listener.close()
            self._parts.close()
            log.info("server stopped")

    def stop(self) -> None:
        """Ask ``run`` to drain and return; can be called from any thread, and before it runs."""
        self._http.should_exit = True

    def ready(self) -> str | None:
        """Return None while it answers predictions and will go on to, else why not."""
        if self._closing():
            return "the server stops"
        return self._predictor.ready() or self._watcher.alive()

    def _closing(self) -> bool:
        return self._http.should_exit

    @property
    def url(self) -> str:
        """Where it answers."""
        host = self._settings.serve.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._settings.serve.port}"

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT stop it, from now on and not only once it answers; a second SIGINT ends the drain.

        Once one has come they are ignored ever after: the process is about to end, and its success stays one.
        """
        # uvicorn raises the signals that it has seen again at its end: they must find a handler then, too.
        before = {number: signal.signal(number, self._http.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._closing() else handler)


class SourceDesk:
    """Takes in events over HTTP: decodes each as the trainer would, and appends it to the topic or the dead letters."""

    def __init__(self, settings: Settings, predictor: Predictor, observer: Observer) -> None:
        self._settings = settings
        self._predictor = predictor
        self._topic = settings.source.topic
        self._columns = FeatureColumns(settings.schema_)
        self._sink = open_sink(settings)
        self._observer = observer
        self._dead_letters = DeadLetters(open_sink(settings), observer)
        self._decoder: Decoder | None = None
        self._decoder_labels: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def submit(self, events: Sequence[Any]) -> list[str | None]:
        """See ``serve.events.EventDesk``."""
        batch = self._batch([_wire(event) for event in events])
        with self._lock:
            refusals = self._current_decoder().decode(batch).refusals
            try:
                # Should the second step fail, the client sends all again: doubled dead letters harm less than events.
                self._bury(batch, refusals)
                refusals += self._append(batch, {refusal.index for refusal in refusals})
            except SourceUnavailableError:
                self._free()  # forgets what is not durable
                raise
        reasons = {refusal.index: refusal.reason for refusal in refusals}
        # Not before all are kept: until then they will be sent, and refused, again.
        for reason, count in Counter(reasons.values()).items():
            self._observer.refused(reason, count)
        return [reasons.get(index) for index in range(len(events))]

    def _append(self, batch: RecordBatch, without: set[int]) -> list[Refusal]:
        """Append all but some records to the topic, durably; return what the source has refused for good."""
        sent = [index for index in range(len(batch)) if index not in without]
        for index in sent:
            self._sink.send(self._topic, batch.values[index])
        refused = self._sink.flush(FLUSH_SECONDS)
        other = next((why for why in refused.values() if why != TOO_LARGE), None)
        if other is not None:
            message = f"the source refused an event: {other}"
            raise SourceUnavailableError(message)
        late = [Refusal(sent[place], TOO_LARGE, "larger than the source takes") for place in refused]
        self._bury(batch, late)
        return late

    def _bury(self, batch: RecordBatch, refusals: list[Refusal]) -> None:
        if refusals:
            self._dead_letters.add(batch, refusals)
            self._dead_letters.flush(FLUSH_SECONDS)

    def close(self) -> None:
        """Free what is held."""
        with self._lock:
            self._free()

    def _free(self) -> None:
        self._sink.close()
        self._dead_letters.close()

    def _current_decoder(self) -> Decoder:
        """Return the decoder for what serves; labels that nothing has fixed yet are forgotten after every request."""
        current = self._predictor.current
        labels = current.model.labels if current else ()
        known = Labels.of(self._settings)
        if not known.fixed and labels:
            known = Labels(labels, known.capacity, fixed=True)
        if self._decoder is None or not known.fixed or known.names != self._decoder_labels:
            categories = Categories(self._columns.categorical, 0)
            self._decoder = Decoder(self._settings, self._columns, categories, known, _now_ms)
            self._decoder_labels = known.names
        return self._decoder

    def _batch(self, values: list[bytes]) -> RecordBatch:
        """Return events as records that have no place in the log yet: partition and offset -1."""
        count = len(values)
        return RecordBatch(
            source=Partition(self._topic, -1),
            offsets=np.full(count, -1, dtype=np.int64),
            timestamps_ms=np.full(count, -1, dtype=np.int64),
            values=values,
            keys=[None] * count,
            headers=[()] * count,
        )


def _wire(event: object) -> bytes:
    """Return an event as the bytes of its record; half a surrogate pair, which UTF-8 cannot hold, stays an escape."""
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":")).encode()


def _now_ms() -> int:
    return int(time.time() * 1000)
