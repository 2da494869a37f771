"""Asks other checkpoints what the serving one was asked, and counts how far they agree.

A share of the instances that were answered goes into a bounded queue; a thread of its own takes them from there. No
request waits for it, and it takes at most a fifth of one processor: what it cannot do in that is dropped, and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
import structlog

from service.model.learned import LearnedModel
from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.batching import Row
from service.serve.candidates import Candidate, Candidates
from service.serve.predictor import Predictor, Serving
from service.serve.sampling import Sample, Sampler, part, texts_of
from service.settings import Settings
from service.store.checkpoints import CheckpointStore

MOST_WAITING = 4_096
"""Instances in the queue; what comes then is dropped."""

MOST_ROWS = 64
"""Instances of one forward pass: while it holds the interpreter, answers wait."""

LOOK_SECONDS = 1.0
"""Time between two looks for new candidates; a trainer may make several a second."""

IDLE_SECONDS = 0.05
WORKING_SHARE = 0.2
"""The thread rests four times as long as it has worked.

A lower priority would not do: a thread that the system sets aside while it holds the interpreter holds up all others.
"""

log = structlog.get_logger(__name__)


class Shadow:
    """The shadow's queue and thread. ``listen`` is for the event loop alone."""

    def __init__(self, settings: Settings, store: CheckpointStore, predictor: Predictor, observer: Observer) -> None:
        self._candidates = Candidates(settings, store, predictor)
        self._observer = observer
        self._sampler = Sampler(settings.serve.shadow.share)
        self._queue: deque[Sample] = deque()
        self._waiting = 0
        self._taken = 0
        self._look_at = 0.0
        self._failed: dict[str, str | None] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def candidates(self) -> list[Candidate]:
        """What runs in the shadow, and what does not and why."""
        return list(self._candidates.current.values())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what waits is not looked at any more. Can be called twice, and before it began."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def listen(
        self, serving: Serving, numbers: FloatArray, codes: IntArray, outputs: FloatArray, rows: Sequence[Row | None]
    ) -> None:
        """Take a share of a batch that has been answered; see ``serve.batching.Listener``."""
        picked = self._sampler.pick(len(outputs))
        # Two counters, each written by one thread: no lock, and so nobody who waits for one.
        room = MOST_WAITING - (self._waiting - self._taken)
        if len(picked) > room:
            for name in self._candidates.current:
                self._observer.shadow_dropped(name, "queue_full", len(picked) - room)
            picked = picked[:room]
        if len(picked):
            self._waiting += len(picked)
            # Copies: the batch is not to live on for one of its rows.
            chosen = [rows[index] for index in picked.tolist()]
            self._queue.append(Sample(serving, numbers[picked], codes[picked], outputs[picked], chosen))

    def work(self) -> bool:
        """Look for candidates if it is time to, and compare some of what waits; return whether more waits."""
        if time.monotonic() >= self._look_at:
            self._candidates.look()
            self._look_at = time.monotonic() + LOOK_SECONDS
        sample = self._take()
        if sample is not None:
            for candidate in self.candidates:
                self._try(sample, candidate)
        return bool(self._queue)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            began = time.perf_counter()
            more = self.work()
            pause = (time.perf_counter() - began) * (1 / WORKING_SHARE - 1)
            if not more:
                pause = max(pause, IDLE_SECONDS)

    def _take(self) -> Sample | None:
        """Return up to MOST_ROWS instances from the front of the queue that the same model has answered."""
        taken: list[Sample] = []
        rows = 0
        while self._queue and rows < MOST_ROWS:
            if taken and self._queue[0].serving is not taken[0].serving:
                break
            first, room = self._queue.popleft(), MOST_ROWS - rows
            if len(first.rows) > room:
                self._queue.appendleft(part(first, slice(room, None)))
                first = part(first, slice(room))
            taken.append(first)
            rows += len(first.rows)
        if not taken:
            return None
        self._taken += rows
        return Sample(
            taken[0].serving,
            np.concatenate([one.numbers for one in taken]),
            np.concatenate([one.codes for one in taken]),
            np.concatenate([one.outputs for one in taken]),
            [row for one in taken for row in one.rows],
        )

    def _try(self, sample: Sample, candidate: Candidate) -> None:
        if candidate.model is None or candidate.checkpoint_id == sample.serving.checkpoint_id:
            return
        if self._candidates.fault(candidate, sample.serving.model):
            return  # which the status tells
        sample, codes = self._told(sample, candidate.model, candidate.name)
        try:
            self._compare(sample, codes, candidate.name, candidate.model)
        except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything
            self._observer.shadow_dropped(candidate.name, "no_answer", len(sample.rows))
            if self._failed.get(candidate.name) != candidate.checkpoint_id:  # once each
                self._failed[candidate.name] = candidate.checkpoint_id
                log.warning("no answer in the shadow", checkpoint=candidate.checkpoint_id, problem=str(error))

    def _compare(self, sample: Sample, codes: IntArray, name: str, model: LearnedModel) -> None:
        serving = sample.serving.model
        with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers
            outputs = model.predict(sample.numbers, codes)
        sound = np.flatnonzero(np.isfinite(outputs).all(axis=1) & np.isfinite(sample.outputs).all(axis=1))
        if len(sound) < len(outputs):
            self._observer.shadow_dropped(name, "no_answer", len(outputs) - len(sound))
        answered, outputs = sample.outputs[sound], outputs[sound]
        agreed = None
        if model.task == "regression":
            difference = float(np.abs(outputs - answered).sum())
        else:
            outputs = outputs[:, [model.labels.index(label) for label in serving.labels]]
            agreed = int((outputs.argmax(axis=1) == answered.argmax(axis=1)).sum())
            difference = float(np.abs(outputs - answered).sum()) / 2
        self._observer.shadowed(name, len(outputs), agreed, difference)

    def _told(self, sample: Sample, model: LearnedModel, name: str) -> tuple[Sample, IntArray]:
        """Return those instances that can be put to another model, and their codes by its own vocabulary.

        What the one has not learnt, the other may have: then the text itself is needed.
        """
        columns = sample.serving.model.columns
        if not columns.categorical:
            return sample, sample.codes
        texts = texts_of(sample)
        known = [index for index, row in enumerate(texts) if row is not None]
        if len(known) < len(texts):
            self._observer.shadow_dropped(name, "unknown_category", len(texts) - len(known))
            sample = part(sample, known)
        if not known:
            return sample, sample.codes
        by_column = list(zip(*(row for row in texts if row is not None), strict=True))
        return sample, model.categories.encode(by_column, grow=False, rows=len(known))
