"""DESIGN's rows "broker away" and "broker back with older or truncated log", and a topic that changes, end to end."""

from collections.abc import Callable

import pytest

from tests.acceptance.conftest import MakeService, Service, eventually
from tests.acceptance.faults import await_all_taken_in, count, on_kafka, stop
from tests.acceptance.ledger_check import judge
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import KafkaTopicProducer, Pump
from tests.broker import Broker

pytestmark = pytest.mark.kafka

GONE = "freshet_positions_gone_events_total"


def positions_reach(service: Service, producer: KafkaTopicProducer) -> Callable[[], bool]:
    """Return a look at whether the trainer stands behind the last record of every partition."""

    def reached() -> bool:
        told = service.status().get("positions", {})
        ends = {f"{service.topic}/{number}": max(own) + 1 for number, own in producer.produced.items() if own}
        return all(told.get(name) == end for name, end in ends.items())

    return reached


def test_broker_back_with_a_truncated_log(make_service: MakeService, kafka: Broker, nursery: Nursery) -> None:
    """The gap is counted and named, consumption goes on behind it, and exactly these offsets have no fate."""
    service, producer = on_kafka(make_service, kafka, 2, nursery)
    trainer = service.start("train")
    producer.send(600)
    await_all_taken_in(service, producer)
    stop(trainer)
    service.forget_status()
    before = count(producer.produced)
    producer.send(200)
    kafka.delete_records(service.topic, before=350, partition=1)
    producer.send(200)
    trainer = service.start("train")
    eventually(positions_reach(service, producer), "the trainer to reach the end of both partitions")
    assert service.metric(GONE) == 50
    assert "records were deleted by the log before they could be read" in service.said()
    stop(trainer)
    verdict = judge(producer.produced, producer.bad, service.run("ledger")["runs"])
    assert (verdict.twice, verdict.invented, verdict.misjudged) == ([], [], [])
    assert verdict.lost == [(1, offset) for offset in range(300, 350)]
    assert before == 600
    producer.close()


def test_partitions_are_added(make_service: MakeService, kafka: Broker, nursery: Nursery) -> None:
    """Those of a running trainer's topic are read from their beginning, and nothing else changes."""
    service, producer = on_kafka(make_service, kafka, 1, nursery)
    trainer = service.start("train")
    producer.send(300)
    await_all_taken_in(service, producer)
    kafka.add_partitions(service.topic, 3)
    producer.close()
    wider = KafkaTopicProducer(kafka.bootstrap, service.topic, 3)
    wider.send(300)
    for partition, offsets in producer.produced.items():
        wider.produced[partition] = offsets + wider.produced[partition]
        wider.bad[partition] = producer.bad[partition] + wider.bad[partition]
    await_all_taken_in(service, wider)
    stop(trainer)
    assert judge(wider.produced, wider.bad, service.run("ledger")["runs"])
    wider.close()


def test_the_topic_is_deleted(make_service: MakeService, kafka: Broker, nursery: Nursery) -> None:
    """The trainer says so and waits, the server answers; made anew, the topic is read from its beginning."""
    service, producer = on_kafka(make_service, kafka, 1, nursery)
    trainer, server = service.start("train"), service.start("serve")
    producer.send(400)
    await_all_taken_in(service, producer)
    service.await_ready()
    producer.close()  # first: a producer that asks for a topic that is gone makes it anew
    kafka.delete(service.topic)
    eventually(lambda: not kafka.has(service.topic), "the broker to know that the topic is gone")
    assert service.predict(a=1.0, b=1.0).status_code == 200
    kafka.create(service.topic, 1)
    anew = KafkaTopicProducer(kafka.bootstrap, service.topic, 1)
    anew.send(100)
    eventually(
        lambda: service.status().get("positions", {}).get(f"{service.topic}/0") == 100,
        "the new topic to be read",
    )
    assert service.predict(a=1.0, b=1.0).status_code == 200
    assert trainer.poll() is None
    stop(trainer)
    stop(server)
    anew.close()


def test_broker_away_at_the_start(make_service: MakeService, own_kafka: Broker, nursery: Nursery) -> None:
    """One clear line, readiness says it, nothing dies; once it is there, all is read."""
    service, producer = on_kafka(make_service, own_kafka, 1, nursery)
    producer.send(100)
    own_kafka.kill()
    trainer = service.start("train")

    def waits() -> bool:
        answer = service.get("/readyz", trainer=True)
        return answer is not None and answer.status_code == 503 and own_kafka.bootstrap in answer.text

    eventually(waits, "the trainer to say which broker it waits for")
    own_kafka.start()
    service.await_ready(trainer=True)
    with Pump(producer):
        eventually(lambda: service.accepted() > 300, "records to come in")
    await_all_taken_in(service, producer)
    assert 1 <= service.said().count("source does not answer; trying again") <= 3
    stop(trainer)
    assert judge(producer.produced, producer.bad, service.run("ledger")["runs"])
    producer.close()
