"""`freshet pretrain`: the first checkpoint, from history, by the very stages that learn from the stream."""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch

from service.configuration import require_schema
from service.errors import LeaseHeldError, RoundFailedError, StoreError, TableError
from service.ingest.connect import open_sink
from service.ingest.dead_letters import DeadLetters
from service.ingest.decode import Decoder
from service.learner.admission import require_model
from service.learner.candidate import Candidate
from service.learner.given import begin_from_weights
from service.learner.learner import Learner
from service.model.custom import told
from service.observer import Observer
from service.records import Examples, Partition, RecordBatch
from service.settings import BINARY_CLASSES, Member, Settings
from service.store.lease import Lease
from service.store.lease_keeper import LeaseKeeper
from service.table_events import check_columns, to_event
from service.tables import read_table
from service.train.fit import train_round
from service.trainer.publisher import Publisher

log = structlog.get_logger(__name__)

MOST_EVENTS = 1_000_000
"""Newest events that are trained on; older ones only shape vocabulary and scales."""

PASSES = 10
"""Most times that each event is seen, should that be more than train.first_steps; early stopping ends it sooner."""

PATIENCE = 10
BATCH_ROWS = 5_000


def pretrain(settings: Settings, file: Path) -> dict[str, Any]:
    """Train a first model on a file and publish it; return a summary.

    Raises TableError for a file that cannot be used, StoreError when there is a model or a state already, and
    LeaseHeldError when a trainer is at work.
    """
    require_schema(settings)
    require_model(settings)
    table = read_table(file)
    check_columns(table, settings)
    recorded_ms = int(file.stat().st_mtime * 1_000)
    return pretrain_events((to_event(row, settings) for row in table), settings, recorded_ms, str(file))


def pretrain_events(
    events: Iterable[dict[str, Any]], settings: Settings, recorded_ms: int, origin: str
) -> dict[str, Any]:
    """Train a first model on labelled events, of the time ``recorded_ms`` where they bear none; as ``pretrain``."""
    began = time.monotonic()
    torch.set_num_threads(1)
    lease = Lease(settings.store.path, f"{socket.gethostname()}:{os.getpid()}", settings.trainer.lease_seconds)
    fence = lease.try_acquire()
    if fence is None:
        raise LeaseHeldError(f"{settings.store.path}: a trainer is at work ({lease.holder()}); stop it first")
    try:
        with LeaseKeeper(lease), closing(open_sink(settings)) as sink:
            letters = DeadLetters(sink, Observer())
            publisher = Publisher(settings, lease, fence, letters, Observer())
            _refuse_a_second_start(settings, publisher)
            learner, refused = _read(events, settings, recorded_ms)
            begin_from_weights(learner)
            _require_labels(learner, origin, refused)
            candidate = _fit(learner)
            checkpoint_id = publisher.checkpoints.new_id(0)
            publisher.publish(candidate, checkpoint_id, None, [], ())
    finally:
        lease.release()
    recent = learner.holdings.recent()
    scores = candidate.model.score(recent) if len(recent) else None
    log.info("pre-trained model published", checkpoint=checkpoint_id, events=learner.counts["accepted"])
    return {
        "checkpoint": checkpoint_id,
        "events": learner.counts["accepted"],
        "refused": dict(refused),
        "heldout_loss": float(scores.losses.mean()) if scores else None,
        "heldout_error": float(scores.errors.mean()) if scores else None,
        "seconds": round(time.monotonic() - began, 3),
    }


def _refuse_a_second_start(settings: Settings, publisher: Publisher) -> None:
    if publisher.checkpoints.latest() is not None:
        raise StoreError(
            f"{settings.store.path}: has a model already, and pretrain makes the first; "
            "choose another store.path, or move the folder away"
        )
    if publisher.states.load() is not None:
        raise StoreError(
            f"{settings.trainer.state_path}: a trainer has begun here already, and pretrain comes first; "
            "choose another trainer.state_path, or move the folder away"
        )


def _read(events: Iterable[dict[str, Any]], settings: Settings, recorded_ms: int) -> tuple[Learner, Counter[str]]:
    """Decode all events and let a learner, with a window for all of them, take them in."""
    reader = Learner(settings, Observer())
    decoder = Decoder(settings, reader.columns, reader.categories, reader.labels, lambda: time.time_ns() // 1_000_000)
    parts: list[Examples] = []
    refused: Counter[str] = Counter()
    for batch in _batches(events, recorded_ms):
        decoded = decoder.decode(batch)
        refused.update(refusal.reason for refusal in decoded.refusals)
        parts.append(decoded.examples)
        while len(parts) > 1 and sum(map(len, parts[1:])) >= MOST_EVENTS:
            reader.absorb(parts.pop(0))
    room = max(sum(map(len, parts)), settings.window.events)
    wide = settings.model_copy(
        update={
            "window": settings.window.model_copy(update={"events": room}),
            "train": settings.train.model_copy(update={"portfolio": _on_all(settings, room)}),
        }
    )
    learner = Learner(wide, Observer())
    learner.categories, learner.labels, learner.statistics = reader.categories, reader.labels, reader.statistics
    for part in parts:
        learner.absorb(part)
    learner.counts["accepted"] += reader.counts["accepted"]
    return learner, refused


def _on_all(settings: Settings, events: int) -> tuple[Member, ...]:
    """Return the portfolio's members, each trained on all that there is."""
    members = settings.train.members(events, settings.task)
    return tuple(one.model_copy(update={"window_events": events}) for one in members)


def _batches(events: Iterable[dict[str, Any]], recorded_ms: int) -> Iterator[RecordBatch]:
    """Yield the events as they would come from a topic, so that they are judged as there."""
    source = Partition("pretrain", 0)
    numbered = iter(events)
    first = 0
    while values := [json.dumps(event, default=str).encode() for event in islice(numbered, BATCH_ROWS)]:
        rows = len(values)
        offsets = np.arange(first, first + rows, dtype=np.int64)
        yield RecordBatch(source, offsets, np.full(rows, recorded_ms), values, [None] * rows, [()] * rows)
        first += rows


def _require_labels(learner: Learner, origin: str, refused: Counter[str]) -> None:
    why = f" ({refused.total()} rows refused: {', '.join(sorted(refused))})" if refused else ""
    if not learner.holdings.sizes[0]:
        raise TableError(f"{origin}: no row can be learnt from{why}")
    labels = len(learner.labels)
    if learner.settings.task != "regression" and labels < BINARY_CLASSES:
        raise TableError(f"{origin}: only {labels} label is in it, and a {learner.settings.task} task needs two{why}")


def _fit(learner: Learner) -> Candidate:
    """Train the first round in this process: nobody waits for it."""
    train = learner.settings.train
    passes = PASSES * learner.holdings.sizes[0] // train.batch_size
    patient = {
        "first_steps": max(train.first_steps, passes),
        "steps": max(train.first_steps, passes),  # of one that begins from given weights
        "stopping_patience": max(PATIENCE, train.stopping_patience),
    }
    learner.settings = learner.settings.model_copy(update={"train": train.model_copy(update=patient)})
    given = learner.begin_round("pretrain", 0.0)
    try:
        outcome = train_round(given)
    except RoundFailedError:
        raise
    except Exception as error:  # whatever a network of one's own raises fails the round, as in the worker of a trainer
        raise RoundFailedError(told(error), "error") from error
    _, candidate = learner.conclude(outcome)
    if candidate is None:
        raise RuntimeError("the first checkpoint needs no gate, yet there is none")
    return candidate
