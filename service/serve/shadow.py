"""Asks other checkpoints what the serving one was asked, and counts how far they agree.

A share of the instances that were answered goes into a bounded queue; a thread of its own takes them from there. No
request waits for it, and it takes at most a fifth of one processor: what it cannot do in that is dropped, and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import structlog

from service.model.learned import LearnedModel
from service.model.vocabulary import UNKNOWN
from service.observer import Observer
from service.records import FloatArray, IntArray
from service.serve.candidates import Candidate, Candidates
from service.serve.predictor import Predictor, Serving
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

_STEP = np.uint64(0x9E3779B97F4A7C15)
_RANGE = 1 << 64
_STRETCH = 256
_NONE = np.empty(0, dtype=np.int64)

Row = Sequence[Any]

log = structlog.get_logger(__name__)


class Sample(NamedTuple):
    """Instances n that one model has answered together: numbers [n, width], codes [n, categorical], its outputs.

    ``rows`` are the values that they came from, in the order of the schema, None for one where they are not at hand.
    """

    serving: Serving
    numbers: FloatArray
    codes: IntArray
    outputs: FloatArray
    rows: Sequence[Row | None]


class Sampler:
    """Picks a share of all instances, spread evenly: the same ones for the same share, without a rhythm.

    It is a rotation by the golden ratio (a Weyl sequence): in any stretch of n instances very nearly share x n are
    picked, and traffic that repeats itself is not always picked at the same place.
    """

    def __init__(self, share: float) -> None:
        self._highest = np.uint64(min(round(share * _RANGE), _RANGE) - 1)
        self._at = 0
        self._next = self._after(0)

    def pick(self, count: int) -> IntArray:
        """Return which of the next ``count`` instances are in the share, from 0."""
        begin, self._at = self._at, self._at + count
        if self._next >= self._at:  # as for most requests of one instance
            return _NONE
        picked = self._among(begin, self._at)
        self._next = self._after(self._at)
        return picked

    def _after(self, at: int) -> int:
        """Return the first one from ``at`` on."""
        while not len(found := self._among(at, at + _STRETCH)):
            at += _STRETCH
        return at + int(found[0])

    def _among(self, begin: int, end: int) -> IntArray:
        return np.flatnonzero(np.arange(begin, end, dtype=np.uint64) * _STEP <= self._highest)


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
                self._queue.appendleft(_part(first, slice(room, None)))
                first = _part(first, slice(room))
            taken.append(first)
            rows += len(first.rows)
        if not taken:
            return None
        self._taken += rows
        arrays = (np.concatenate([one[place] for one in taken]) for place in range(1, 4))
        return Sample(taken[0].serving, *arrays, rows=[row for one in taken for row in one.rows])

    def _try(self, sample: Sample, candidate: Candidate) -> None:
        if candidate.model is None or candidate.checkpoint_id == sample.serving.checkpoint_id:
            return
        if self._candidates.fault(candidate, sample.serving.model):
            return  # which the status tells
        try:
            self._compare(sample, candidate.name, candidate.model)
        except Exception as error:  # noqa: BLE001 - a module of the user's may raise anything
            self._observer.shadow_dropped(candidate.name, "no_answer", len(sample.rows))
            if candidate.checkpoint_id not in self._failed:
                self._failed = {*self._failed & self._present, candidate.checkpoint_id}
                log.warning("no answer in the shadow", checkpoint=candidate.checkpoint_id, problem=str(error))

    def _compare(self, sample: Sample, name: str, model: LearnedModel) -> None:
        serving = sample.serving.model
        sample, codes = self._told(sample, model, name)
        with np.errstate(over="ignore", invalid="ignore"):  # of absurd numbers
            outputs = model.predict(sample.numbers, codes)
        sound = np.isfinite(outputs).all(axis=1) & np.isfinite(sample.outputs).all(axis=1)
        answered, outputs = sample.outputs[sound], outputs[sound]
        if len(outputs) < len(sound):
            self._observer.shadow_dropped(name, "no_answer", len(sound) - len(outputs))
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
        texts = _texts(sample)
        known = [index for index, row in enumerate(texts) if row is not None]
        if len(known) < len(texts):
            self._observer.shadow_dropped(name, "unknown_category", len(texts) - len(known))
            sample = _part(sample, known)
        by_column = list(zip(*(texts[index] or () for index in known), strict=True)) or [()] * len(columns.categorical)
        return sample, model.categories.encode(by_column, grow=False, rows=len(known))


def _part(sample: Sample, which: slice | list[int]) -> Sample:
    rows = sample.rows[which] if isinstance(which, slice) else [sample.rows[index] for index in which]
    return Sample(sample.serving, sample.numbers[which], sample.codes[which], sample.outputs[which], rows)


def _texts(sample: Sample) -> list[tuple[str | None, ...] | None]:
    """Return each instance's categories as text, None for one that holds an unknown one of which no text is left."""
    model = sample.serving.model
    first = len(model.columns.names) - len(model.columns.categorical)
    vocabulary = [(None, None, *known) for known in model.encoder.categories.values()]
    texts: list[tuple[str | None, ...] | None] = []
    for row, codes in zip(sample.rows, sample.codes.tolist(), strict=True):
        if row is not None:
            texts.append(tuple(row[first:]))
        elif UNKNOWN in codes:
            texts.append(None)
        else:
            texts.append(tuple(known[code] for known, code in zip(vocabulary, codes, strict=True)))
    return texts
