"""Ingest to window against kafka-python's own raw poll rate, on the same topic, on one core, in one run.

The pipeline is the trainer's: poll, decode, validate, score by champion, challenger, previous and frozen, accumulate,
note each fate. Each of the four has networks of its own, as when no candidate has gone out for long: one network each
(`train.portfolio: []`), and then the whole default portfolio each. Beside the ratio of the rates stands that of events
a second of processor time, which other work on the machine disturbs less: waiting for the broker is not in it. Needs a
broker: FRESHET_TEST_KAFKA, or Java and Maven, or Docker.
"""

import gc
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from service.ingest.decode import Decoder
from service.ingest.kafka import KafkaSource
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.model.learned import LearnedModel
from service.observer import Observer
from service.records import RecordBatch
from service.settings import Settings
from service.train.fit import train_round
from tests.broker import Broker, open_broker

EVENTS = 200_000
PAIRS = 5
NAMES = tuple(f"x{index}" for index in range(8))
BATCH = 1_000
CHALLENGERS: dict[str, dict[str, Any]] = {"four_single_models": {"portfolio": []}, "full_portfolio": {}}


def event(index: int, numbers: random.Random) -> bytes:
    """Return a labelled event of eight numbers."""
    features = {name: round(numbers.gauss(0, 1), 5) for name in NAMES}
    label = "UP" if sum(features.values()) > 0 else "DOWN"
    return json.dumps(
        {"id": f"e-{index}", "ts": int(time.time() * 1_000), "features": features, "label": label}
    ).encode()


def produce(broker: Broker, topic: str) -> None:
    """Fill a topic with events."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=20, batch_size=2**17)
    numbers = random.Random(0)
    for index in range(EVENTS):
        producer.send(topic, event(index, numbers))
    producer.flush()
    producer.close()


class Rate(NamedTuple):
    """Events a second, and events a second of processor time."""

    wall: float
    cpu: float


class Stopwatch:
    """Measures a rate from now on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def rate(self, events: int) -> Rate:
        """Return the rate at which so many events went by."""
        return Rate(events / (time.perf_counter() - self._wall), events / (time.process_time() - self._cpu))


def raw(broker: Broker, topic: str) -> Rate:
    """Return the rate of kafka-python's poll alone."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, max_poll_records=BATCH, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    seen = first = len(next(iter(consumer.poll(10_000, max_records=BATCH).values())))
    watch = Stopwatch()
    while seen < EVENTS:
        seen += sum(map(len, consumer.poll(1_000, max_records=BATCH).values()))
    found = watch.rate(seen - first)
    consumer.close()
    return found


def settings_of(train: dict[str, Any], **source: Any) -> Settings:  # noqa: ANN401 - whatever the section holds
    """Return settings for the events, trained in this way, from this source."""
    schema = {"numeric": NAMES, "labels": ["DOWN", "UP"]}
    return Settings.model_validate({"schema": schema, "source": source, "train": train})


class Pipeline:
    """Ingest and window, with all roles taken as soon as the first round has been trained."""

    def __init__(self, settings: Settings) -> None:
        self.learner = Learner(settings, Observer())
        self.decoder = Decoder(
            settings, self.learner.columns, self.learner.categories, self.learner.labels, lambda: 2**43
        )

    def take(self, batch: RecordBatch) -> None:
        """Do as the trainer does with a batch of a partition's records."""
        decoded = self.decoder.decode(batch)
        refused = [refusal.index for refusal in decoded.refusals]
        self.learner.take_in(batch.source, batch.offsets, refused, decoded.examples)

    def prepare(self, batches: Iterator[RecordBatch]) -> None:
        """Train a first model on as many batches as that takes, and copy it into every role."""
        while self.learner.due(0.0) is None:
            self.take(next(batches))
        given = self.learner.begin_round("first_events", 0.0)
        _, candidate = self.learner.conclude(train_round(given))
        assert candidate is not None
        self.learner.adopt(candidate, "000001-00000000")
        model, roles = candidate.model, self.learner.roles

        def copied() -> LearnedModel:
            return LearnedModel.of_members(model.encoder, model.network.members(), model.shares)

        roles.previous = Standing("p", copied(), candidate.reference)
        roles.frozen = Standing("f", copied(), candidate.reference)
        self.learner.portfolio.model = copied()


def polled(source: KafkaSource) -> Iterator[RecordBatch]:
    """Yield a topic's batches, endlessly."""
    while True:
        yield from source.poll(BATCH, 1.0)


def whole(broker: Broker, topic: str, train: dict[str, Any]) -> Rate:
    """Return the rate of the whole of ingest and window."""
    kafka = {"bootstrap_servers": broker.bootstrap, "group_id": f"bench-{time.time_ns()}"}
    settings = settings_of(train, kind="kafka", topic=topic, kafka=kafka)
    pipeline = Pipeline(settings)
    source = KafkaSource(settings.source, [topic], settings.source.kafka.group_id)
    pipeline.prepare(polled(source))
    source.close()
    learner = pipeline.learner
    learner.positions.clear()  # the topic is read from its beginning once more
    before = learner.counts["accepted"]
    source = KafkaSource(settings.source, [topic], f"bench-{time.time_ns()}")
    batches = polled(source)
    batch = next(batches)
    pipeline.take(batch)
    seen = first = len(batch)
    gc.collect()
    gc.freeze()
    watch = Stopwatch()
    while seen < EVENTS:
        batch = next(batches)
        pipeline.take(batch)
        seen += len(batch)
    found = watch.rate(seen - first)
    source.close()
    gc.unfreeze()
    assert learner.counts["accepted"] - before == EVENTS
    return found


def main() -> None:
    """Print all rates and their ratios."""
    broker = open_broker()
    try:
        topic = broker.create_topic()
        produce(broker, topic)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        raws: list[Rate] = []
        rates: dict[str, list[Rate]] = {name: [] for name in CHALLENGERS}
        for _ in range(PAIRS):
            raws.append(raw(broker, topic))
            print(f"raw {raws[-1].wall:,.0f}/s", end="")
            for name, train in CHALLENGERS.items():
                rates[name].append(whole(broker, topic, train))
                print(f", {name} {rates[name][-1].wall:,.0f}/s ({rates[name][-1].wall / raws[-1].wall:.2f})", end="")
            print(flush=True)
        told: dict[str, Any] = {"raw_events_per_second": round(statistics.median(one.wall for one in raws))}
        for name, found in rates.items():
            pairs = list(zip(found, raws, strict=True))
            told[name] = {
                "events_per_second": round(statistics.median(one.wall for one in found)),
                "ratio": round(statistics.median(one.wall / reference.wall for one, reference in pairs), 3),
                "processor_ratio": round(statistics.median(one.cpu / reference.cpu for one, reference in pairs), 3),
            }
        print(json.dumps(told))
    finally:
        broker.close()


if __name__ == "__main__":
    main()
