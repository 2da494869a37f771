"""Ingest to window against kafka-python's own raw poll rate, on the same topic, on one core, in one run.

The pipeline is the trainer's: poll, decode, validate, score by four different models (champion, challenger, previous,
frozen), split, accumulate. Needs a broker: FRESHET_TEST_KAFKA, or Java and Maven, or Docker.
"""

import gc
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from service.ingest.decode import Decoded, Decoder
from service.ingest.kafka import KafkaSource
from service.learner.learner import Learner
from service.learner.roles import LEAD, Lineage, Standing, model_of
from service.observer import Observer
from service.records import RecordBatch
from service.settings import Settings
from service.train.fit import train_round
from tests.broker import Broker, open_broker

EVENTS = 200_000
PAIRS = 5
NAMES = tuple(f"x{index}" for index in range(8))
BATCH = 1_000


def produce(broker: Broker, topic: str) -> None:
    """Fill a topic with labelled events of eight numbers."""
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=20, batch_size=2**17)
    numbers = random.Random(0)
    for index in range(EVENTS):
        features = {name: round(numbers.gauss(0, 1), 5) for name in NAMES}
        event = {
            "id": f"e-{index}",
            "ts": int(time.time() * 1_000),
            "features": features,
            "label": "UP" if sum(features.values()) > 0 else "DOWN",
        }
        producer.send(topic, json.dumps(event).encode())
    producer.flush()
    producer.close()


def raw(broker: Broker, topic: str) -> float:
    """Return events a second of kafka-python's poll alone."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, max_poll_records=BATCH, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    seen = len(next(iter(consumer.poll(10_000, max_records=BATCH).values())))
    began = time.perf_counter()
    first = seen
    while seen < EVENTS:
        seen += sum(map(len, consumer.poll(1_000, max_records=BATCH).values()))
    seconds = time.perf_counter() - began
    consumer.close()
    return (seen - first) / seconds


def take_in(learner: Learner, batch: RecordBatch, decoded: Decoded) -> None:
    """Do as the trainer does with a decoded batch."""
    refused = [refusal.index for refusal in decoded.refusals]
    learner.take_in(batch.source, batch.offsets, refused, decoded.examples)


def learner_with_four_models(broker: Broker, topic: str) -> Learner:
    """Return a learner in whose roles stand four models of the default architecture, none of them shared."""
    tree = {
        "schema": {"numeric": NAMES, "labels": ["DOWN", "UP"]},
        "source": {
            "kind": "kafka",
            "topic": topic,
            "kafka": {"bootstrap_servers": broker.bootstrap, "group_id": f"bench-{time.time_ns()}"},
        },
    }
    learner = Learner(Settings.model_validate(tree), Observer())
    source = KafkaSource(learner.settings.source, [topic], learner.settings.source.kafka.group_id)
    decoder = Decoder(learner.settings, learner.columns, learner.categories, learner.labels, lambda: 2**43)
    while learner.due(0.0) is None:
        for batch in source.poll(BATCH, 1.0):
            take_in(learner, batch, decoder.decode(batch))
    source.close()
    given = learner.begin_round("first_events", 0.0)
    _, candidate = learner.conclude(train_round(given))
    assert candidate is not None
    learner.adopt(candidate, "000001-00000000")
    weights = candidate.model.weights()
    roles = learner.roles
    roles.previous = Standing("p", model_of(given.encoder, weights), candidate.reference)
    roles.frozen = Standing("f", model_of(given.encoder, weights), candidate.reference)
    roles.lineages[LEAD] = Lineage(roles.lineages[LEAD].recipe, model_of(given.encoder, weights), weights)
    return learner


def pipeline(broker: Broker, topic: str) -> float:
    """Return events a second of the whole of ingest and window."""
    learner = learner_with_four_models(broker, topic)
    source = KafkaSource(learner.settings.source, [topic], f"bench-{time.time_ns()}")
    decoder = Decoder(learner.settings, learner.columns, learner.categories, learner.labels, lambda: 2**43)
    learner.positions.clear()  # the topic is read from its beginning once more
    before = learner.counts["accepted"]
    seen = 0
    while not seen:
        for batch in source.poll(BATCH, 1.0):
            take_in(learner, batch, decoder.decode(batch))
            seen += len(batch)
    gc.collect()
    gc.freeze()
    began, first = time.perf_counter(), seen
    while seen < EVENTS:
        for batch in source.poll(BATCH, 1.0):
            take_in(learner, batch, decoder.decode(batch))
            seen += len(batch)
    seconds = time.perf_counter() - began
    source.close()
    gc.unfreeze()
    assert learner.counts["accepted"] - before == EVENTS
    return (seen - first) / seconds


def main() -> None:
    """Print both rates and their ratio."""
    broker = open_broker()
    try:
        topic = broker.create_topic()
        produce(broker, topic)
        os.sched_setaffinity(0, {0})
        torch.set_num_threads(1)
        pairs = []
        for _ in range(PAIRS):
            pairs.append((raw(broker, topic), pipeline(broker, topic)))
            print(f"raw {pairs[-1][0]:,.0f}/s, pipeline {pairs[-1][1]:,.0f}/s, ratio {pairs[-1][1] / pairs[-1][0]:.2f}")
        print(
            json.dumps(
                {
                    "raw_events_per_second": round(statistics.median(one for one, _ in pairs)),
                    "pipeline_events_per_second": round(statistics.median(two for _, two in pairs)),
                    "ratio": round(statistics.median(two / one for one, two in pairs), 3),
                }
            )
        )
    finally:
        broker.close()


if __name__ == "__main__":
    main()
