"""Fuzzes the way of records from the embedded log to the learner and the dead letters: all of it is the real thing."""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.ingest.dead_letters import OFFSET, PARTITION, REASON, TOPIC, DeadLetters, dead_letter_topic
from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.learner.learner import Learner
from service.observer import Observer
from service.records import REFUSAL_REASONS, Examples, RecordBatch
from service.settings import Settings
from service.train.fit import train_round
from service.trainer.intake import Intake
from tests.bad_records import SCHEMA
from tests.fuzz.mutations import Mutator, Record
from tests.properties.contract_oracle import DAY_MS, Contract, Fits

NOW_MS = 4_000_000_000_000
"""The trainer's clock stands still, far enough ahead of the machine's that the log's own times are never refused."""

MAX_BYTES = 4_096
BLOCK = 1_000
CAMPAIGN = 20_000
TASKS = ("binary", "multiclass", "regression")


class FuzzError(Exception):
    """What should not have happened, and the records to which it did."""

    def __init__(self, problem: str, records: list[Record]) -> None:
        super().__init__(problem)
        self.records = records


@dataclass
class Figures:
    """What became of the records."""

    records: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rounds: int = 0


class Watched(Learner):
    """A learner that keeps what it was given last."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Observer())
        self.arrived: list[Examples] = []

    def absorb(self, arrived: Examples) -> None:
        """Keep the events, and absorb them."""
        self.arrived.append(arrived)
        super().absorb(arrived)


class Campaign:
    """One learner with one log, from its first record on; it trains once, so that later records are scored."""

    def __init__(self, folder: Path, task: str) -> None:
        self.settings = _settings(folder, task)
        topic, path = self.settings.source.topic, self.settings.source.embedded.path
        self.learner = Watched(self.settings)
        self._producer = EmbeddedSink(path)
        self._letters = DeadLetters(EmbeddedSink(path), Observer())
        self._source = EmbeddedSource(path, [topic], "fuzz")
        self._dead = EmbeddedSource(path, [dead_letter_topic(topic)], "fuzz")
        self._intake = Intake(self.settings.source, self._source, self.learner, Observer())
        self._intake._decoder._clock_ms = lambda: NOW_MS
        self._contract = _contract(task)
        self._sent = 0

    def run(self, records: list[Record], figures: Figures) -> None:
        """Send records and take them in; raise FuzzError for anything but what the contract says of each."""
        for record in records:
            self._producer.send(self.settings.source.topic, record)
        self._producer.flush()
        try:
            self._intake.step()
            refused = [refusal for _, refusals in self._intake._refused for refusal in refusals]
            for batch, refusals in self._intake.take_refused():
                self._letters.add(batch, refusals)
            self._letters.flush()
        except Exception as error:
            raise FuzzError(f"{type(error).__name__}: {error}", records) from error
        arrived = [events for events in self.learner.arrived if len(events)]
        self.learner.arrived.clear()
        accepted = sum(map(len, arrived))
        letters = self._letters_read()
        if len({len(refused), len(letters), len(records) - accepted}) != 1:
            raise FuzzError(f"{len(records)} sent, {accepted} accepted, {len(letters)} dead letters", records)
        self._compare(records, {offset: reason for offset, reason, _ in letters}, arrived)
        for offset, reason, value in letters:
            if value != records[offset - self._sent]:
                raise FuzzError(f"the dead letter of a {reason} holds other bytes", [records[offset - self._sent]])
        self._sent += len(records)
        figures.records += len(records)
        figures.accepted += accepted
        figures.refused.update(reason for _, reason, _ in letters)

    def learn(self, figures: Figures) -> None:
        """Carry the round out that is due, if one is."""
        if self.learner.due(0.0) is None:
            return
        given = self.learner.begin_round("new_events", 0.0)
        self._contract.open_labels = False
        decision, candidate = self.learner.conclude(train_round(given))
        if candidate is not None:
            self.learner.adopt(candidate, f"{given.number:06d}-aaaaaaaa")
        figures.rounds += bool(decision)

    def close(self) -> None:
        """Close the log."""
        for one in (self._producer, self._letters, self._source, self._dead):
            one.close()

    def _letters_read(self) -> list[tuple[int, str, Record]]:
        """Return offset, reason and value of each dead letter since the last call."""
        found = []
        while batches := self._dead.poll(10_000, 0.0):
            for batch in batches:
                found += [_letter(batch, index) for index in range(len(batch))]
        return found

    def _compare(self, records: list[Record], reasons: dict[int, str], arrived: list[Examples]) -> None:
        """Check each record against the contract, written anew."""
        rows = iter(_rows(arrived))
        for index, record in enumerate(records):
            judged = self._contract.judge(record, 0)
            reason = reasons.get(self._sent + index)
            expected = None if isinstance(judged, Fits) else judged
            if reason != expected:
                raise FuzzError(f"refused for {reason}, but the contract says {expected}", [record])
            if isinstance(judged, Fits):
                numbers, target, ts = next(rows)
                wanted = np.array(judged.numbers)
                if not np.array_equal(numbers, wanted, equal_nan=True) or np.isinf(numbers).any():
                    raise FuzzError(f"read as {numbers}, but it holds {wanted}", [record])
                labels = self._contract.labels
                if target != (judged.label if labels is None else labels.index(str(judged.label))):
                    raise FuzzError(f"its label was read as {target}, but it is {judged.label!r}", [record])
                if ts != judged.ts and judged.ts:  # 0 stands for the log's own time here
                    raise FuzzError(f"its time was read as {ts}, but it is {judged.ts}", [record])
                if not 0 <= ts <= NOW_MS + DAY_MS:
                    raise FuzzError(f"its time is {ts}", [record])


def fuzz(records: int, seed: int, folder: Path) -> Iterator[Figures]:
    """Send so many records, and yield the figures so far after each block; raise FuzzError at the first fault."""
    figures = Figures()
    torch.set_num_threads(1)  # as the trainer does
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, start in enumerate(range(0, records, CAMPAIGN)):
            place = folder / f"campaign-{number}"
            task = TASKS[number % len(TASKS)]
            mutator, campaign = Mutator(seed * 1_000_003 + number, task), Campaign(place, task)
            try:
                for first in range(start, min(start + CAMPAIGN, records), BLOCK):
                    size = min(BLOCK, records - first)
                    block = [mutator.record() for _ in range(size)]
                    campaign.run(block, figures)
                    try:
                        campaign.learn(figures)
                    except Exception as error:
                        raise FuzzError(f"in a round: {type(error).__name__}: {error}", block) from error
                    yield figures
            finally:
                campaign.close()
            for path in (*place.iterdir(), place):
                path.rmdir() if path.is_dir() else path.unlink()


def _settings(folder: Path, task: str) -> Settings:
    labels: dict[str, Any] = {"labels": SCHEMA["labels"] if task == "binary" else []}
    return Settings.model_validate(
        {
            "task": task,
            "schema": SCHEMA | labels,
            "source": {"max_bytes": MAX_BYTES, "poll_events": BLOCK, "embedded": {"path": str(folder / "log.sqlite")}},
            "window": {"events": 400, "replay_events": 600, "recent_events": 100, "memory_events": 100},
            "trigger": {"every_events": 1_000},
            "train": {
                "first_steps": 20,
                "steps": 10,
                "batch_size": 64,
                "model": {"hidden": [8], "max_categories": 50},
            },
        }
    )


def _contract(task: str) -> Contract:
    labels = {"binary": ["yes", "no"], "multiclass": [], "regression": None}[task]
    lists = {kind: SCHEMA[kind] for kind in ("numeric", "boolean", "categorical", "nullable")}
    return Contract(**lists, labels=labels, max_bytes=MAX_BYTES, now_ms=NOW_MS, open_labels=task == "multiclass")


def _letter(batch: RecordBatch, index: int) -> tuple[int, str, Record]:
    headers = dict(batch.headers[index])
    reason = headers[REASON].decode()
    if reason not in REFUSAL_REASONS or headers[TOPIC] != b"events" or headers[PARTITION] != b"0":
        raise FuzzError(f"a dead letter with headers {headers}", [batch.values[index]])
    return int(headers[OFFSET]), reason, batch.values[index]


def _rows(arrived: list[Examples]) -> Iterator[tuple[Any, float, int]]:
    for events in arrived:
        yield from zip(events.numbers, events.targets.tolist(), events.timestamps_ms.tolist(), strict=True)
