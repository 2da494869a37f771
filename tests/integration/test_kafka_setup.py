"""Topics made on a real broker: those that are missing, and what is said when one cannot be."""

import json
from uuid import uuid4

import pytest

from service.cli import main
from service.errors import FreshetError, SourceUnavailableError
from service.ingest.kafka_setup import create_topics
from service.settings import Settings, Source
from tests.broker import Broker
from tests.ports import free_port

pytestmark = pytest.mark.kafka


def source(broker: Broker, topic: str, *more: str) -> Source:
    """Return a source that reads these topics."""
    kafka = {"bootstrap_servers": broker.bootstrap}
    return Settings.model_validate(
        {"source": {"kind": "kafka", "topic": topic, "more_topics": list(more), "kafka": kafka}}
    ).source


def test_what_is_missing_is_made_and_what_is_there_stays(kafka: Broker) -> None:
    """Each topic gets one for its dead letters; the second time nothing is left to do."""
    there, new = kafka.create_topic(), f"t-{uuid4().hex[:12]}"
    reads = source(kafka, new, there)
    made = {new: (True, 3), f"{new}.dlq": (True, 3), there: (False, 1), f"{there}.dlq": (True, 3)}
    assert create_topics(reads, 3, 1) == made
    assert create_topics(reads, 5, 1) == {name: (False, count) for name, (_, count) in made.items()}
    assert kafka.has(new)
    assert kafka.has(f"{there}.dlq")


def test_what_the_broker_does_not_make_is_named(kafka: Broker) -> None:
    """More copies than there are brokers: the topic, and the broker's own words."""
    name = f"t-{uuid4().hex[:12]}"
    with pytest.raises(FreshetError, match=rf"does not make topic {name}(\.dlq)?: .*replica"):
        create_topics(source(kafka, name), 1, 7)


def test_a_broker_that_is_away_is_told_so() -> None:
    """The error is one that a retry may cure."""
    kafka = {"bootstrap_servers": f"127.0.0.1:{free_port()}"}
    away = Settings.model_validate({"source": {"kind": "kafka", "kafka": kafka}}).source
    with pytest.raises(SourceUnavailableError):
        create_topics(away, None, None)


def test_the_command_tells_what_it_made(kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """`freshet topics create --json` separates what was made from what was there."""
    topic = f"t-{uuid4().hex[:12]}"
    sets = ["schema.numeric=[a]", "source.kind=kafka", f"source.topic={topic}"]
    sets.append(f"source.kafka.bootstrap_servers={kafka.bootstrap}")
    with pytest.raises(SystemExit) as ended:
        main(["topics", "create", "--json", *(part for one in sets for part in ("--set", one))])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"created": [topic, f"{topic}.dlq"], "present": []}


def test_a_topic_with_other_partitions_is_told(kafka: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays as it is, and nobody is left to think otherwise."""
    topic = kafka.create_topic()
    sets = ["schema.numeric=[a]", "source.kind=kafka", f"source.topic={topic}"]
    sets.append(f"source.kafka.bootstrap_servers={kafka.bootstrap}")
    with pytest.raises(SystemExit):
        main(["topics", "create", "--partitions", "3", *(part for one in sets for part in ("--set", one))])
    assert f"topic {topic} is there, with 1 partition, not 3" in capsys.readouterr().err
