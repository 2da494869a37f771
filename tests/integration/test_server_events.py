"""Events over HTTP, all the way into the log and the dead letters."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.ingest.connect import open_source
from service.ingest.dead_letters import dead_letter_topic
from service.settings import Settings
from tests.broker import Broker
from tests.unit.serve.builders import INSTANCE, problem_of, publish, settings_in
from tests.unit.serve.running import served, serving_id, wait_for_id

EVENT = {"id": "e1", "ts": 1_700_000_000_000, "features": INSTANCE, "label": "yes"}


def records_of(settings: Settings, topic: str, count: int) -> list[tuple[Any, dict[str, bytes]]]:
    """Return values and headers of all records of a topic, once there are ``count`` of them."""
    source = open_source(settings, [topic], f"test-{topic}")
    source.seek({})
    found: list[tuple[Any, dict[str, bytes]]] = []
    while len(found) < count:
        for batch in source.poll(10_000, 0.05):
            found += [(value, dict(headers)) for value, headers in zip(batch.values, batch.headers, strict=True)]
    source.close()
    return found


def counted(client: httpx.Client, name: str) -> dict[str, float]:
    """Return by label value what one of the server's counters has counted, without what is still 0."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    assert samples
    return {next(iter(sample.labels.values())): sample.value for sample in samples if sample.value}


BAD_EVENTS: list[tuple[object, str]] = [
    (5, "not_object"),
    (None, "not_object"),
    ([EVENT], "not_object"),
    ({}, "missing_feature"),
    ({**EVENT, "features": {**INSTANCE, "age": None}}, "missing_feature"),
    ({**EVENT, "features": {**INSTANCE, "colour": 1}}, "unknown_feature"),
    ({**EVENT, "features": {**INSTANCE, "age": "x"}}, "wrong_type"),
    ({**EVENT, "features": {**INSTANCE, "city": "\ud800"}}, "wrong_type"),
    ({**EVENT, "features": {**INSTANCE, "age": float("nan")}}, "not_finite"),
    ({**EVENT, "features": {**INSTANCE, "age": 10**399}}, "not_finite"),
    ({**EVENT, "label": None}, "missing_label"),
    ({**EVENT, "label": "perhaps"}, "unknown_label"),
    ({**EVENT, "ts": -5}, "bad_timestamp"),
    ({**EVENT, "note": "x" * 2_000}, "too_large"),
]


def test_events_are_durable_and_what_does_not_fit_is_a_dead_letter(tmp_path: Path) -> None:
    """Once answered, good events are in the topic and bad ones in the dead letters, each counted by its reason."""
    values = settings_in(tmp_path).model_dump(mode="json", by_alias=True)
    values["source"]["max_bytes"] = 1_024
    settings = Settings.model_validate(values)
    odd = {**EVENT, "features": {**INSTANCE, "city": "Zürich"}}
    body = json.dumps({"events": [EVENT, *(event for event, _ in BAD_EVENTS), odd]}).encode()
    with served(settings) as client:
        assert counted(client, "freshet_events_rejected_total") == {}
        response = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
        assert counted(client, "freshet_events_rejected_total") == Counter(reason for _, reason in BAD_EVENTS)
        assert counted(client, "freshet_dead_letters_total") == {"sent": len(BAD_EVENTS)}
    assert response.status_code == 202
    reasons = [{"index": index, "reason": reason} for index, (_, reason) in enumerate(BAD_EVENTS, start=1)]
    assert response.json() == {"accepted": 2, "rejected": reasons}
    accepted = records_of(settings, settings.source.topic, 2)
    assert [json.loads(value) for value, _ in accepted] == [EVENT, odd]
    assert "Zürich".encode() in accepted[1][0]
    letters = records_of(settings, dead_letter_topic(settings.source.topic), len(BAD_EVENTS))
    assert [headers["freshet-reason"].decode() for _, headers in letters] == [reason for _, reason in BAD_EVENTS]


@pytest.mark.kafka
def test_what_the_broker_finds_too_large_is_a_dead_letter_too(tmp_path: Path, kafka: Broker) -> None:
    """The decoder lets it pass, the topic does not: it is answered as too large, and kept as far as it fits."""
    topic = kafka.create_topic(max_message_bytes="2000")
    kafka.create(dead_letter_topic(topic))
    values = settings_in(tmp_path).model_dump(mode="json", by_alias=True)
    values["source"] |= {"kind": "kafka", "topic": topic, "kafka": {"bootstrap_servers": kafka.bootstrap}}
    settings = Settings.model_validate(values)
    events = [EVENT, {**EVENT, "note": "x" * 3_000}, 5, EVENT]
    with served(settings) as client:
        answer = client.post("/v1/events", json={"events": events}).json()
        assert counted(client, "freshet_events_rejected_total") == {"not_object": 1, "too_large": 1}
    assert answer == {
        "accepted": 2,
        "rejected": [{"index": 1, "reason": "too_large"}, {"index": 2, "reason": "not_object"}],
    }
    assert [json.loads(value) for value, _ in records_of(settings, topic, 2)] == [EVENT, EVENT]
    letters = records_of(settings, dead_letter_topic(topic), 2)
    assert [headers["freshet-reason"] for _, headers in letters] == [b"not_object", b"too_large"]


def test_without_configured_labels_those_of_the_checkpoint_count(tmp_path: Path) -> None:
    """Before a checkpoint any label is taken, and fixes nothing; from then on only the model's own."""
    settings = settings_in(tmp_path, labels=())

    def reasons(client: httpx.Client, *labels: str) -> list[str]:
        events = [{**EVENT, "label": label} for label in labels]
        return [r["reason"] for r in client.post("/v1/events", json={"events": events}).json()["rejected"]]

    with served(settings) as client:
        assert reasons(client, "perhaps") == []
        assert reasons(client, "no", "yes") == []
        wait_for_id(client, publish(settings))
        assert reasons(client, "no", "yes", "perhaps") == ["unknown_label"]


def test_an_event_log_that_is_away_is_a_503_and_comes_back(tmp_path: Path) -> None:
    """Nothing is promised meanwhile, predictions go on, and later only what was sent again is in the log."""
    settings = settings_in(tmp_path)
    publish(settings)
    log = settings.source.embedded.path
    log.mkdir()
    with served(settings) as client:
        events = [{**EVENT, "id": "lost"}, {}]
        problem = problem_of(client.post("/v1/events", json={"events": events}), 503)
        assert counted(client, "freshet_events_rejected_total") == {}  # they are to be sent again, and counted then
        assert str(log) in problem["detail"]
        assert serving_id(client)
        log.rmdir()
        assert client.post("/v1/events", json={"events": [EVENT]}).status_code == 202
    assert [json.loads(value)["id"] for value, _ in records_of(settings, settings.source.topic, 1)] == ["e1"]


def test_nested_to_the_limit_an_event_is_no_500(tmp_path: Path) -> None:
    """Whatever depth can still be read can also be refused or kept."""
    with served(settings_in(tmp_path)) as client:
        for depth in (*range(100, 1_100, 150), 5_000):
            nested = b"[" * depth + b"]" * depth
            for event in (nested, b'{"features": ' + nested + b"}", b'{"extra": ' + nested + b"}"):
                body = b'{"events": [' + event + b"]}"
                response = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
                assert response.status_code in {202, 400}, (depth, response.text)
