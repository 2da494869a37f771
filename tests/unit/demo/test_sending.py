"""The demo's stream into a topic: what it sends, how fast, and to whom not."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from service.configuration import check_tree
from service.demo import sending
from service.demo.loans import SCHEMA
from service.demo.sending import send_loans
from service.errors import ConfigurationError
from service.ingest.connect import open_source
from service.settings import Settings

CONFIGURATION = Path(__file__).parents[3] / "config" / "compose" / "loans.yaml"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings for loans, on an embedded log of the test's own."""
    return Settings.model_validate({"schema": SCHEMA, "source": {"embedded": {"path": tmp_path / "log.sqlite"}}})


def sent(settings: Settings) -> list[dict[str, Any]]:
    """Return all events in the topic, in order."""
    source = open_source(settings)
    try:
        return [json.loads(value or b"") for batch in source.poll(100_000, 0.01) for value in batch.values]
    finally:
        source.close()


def test_loans_arrive_and_the_rule_changes(settings: Settings) -> None:
    """So many events as asked for, each with what the schema names; each change of the rule is told."""
    with structlog.testing.capture_logs() as logs:
        told = send_loans(settings, events=100, rate=10_000.0, drift_every=40)
    events = sent(settings)
    assert told.events == len(events) == 100
    assert all(set(event["features"]) == set(SCHEMA.names) for event in events)
    assert {event["label"] for event in events} == set(SCHEMA.labels)
    assert [entry["events"] for entry in logs if entry["event"] == "the rule changes"] == [40, 80]


def test_two_streams_have_nothing_in_common(settings: Settings) -> None:
    """A sender that was started again sends neither an id nor a loan twice, which might be held out but once."""
    for _ in range(2):
        send_loans(settings, events=50, rate=10_000.0, drift_every=100)
        time.sleep(0.002)  # a stream is named by the millisecond in which it begins
    events = sent(settings)
    assert len({event["id"] for event in events}) == 100
    assert len({json.dumps(event["features"]) for event in events}) == 100


def test_the_rate_is_kept(settings: Settings) -> None:
    """No event goes out before it is due."""
    assert send_loans(settings, events=101, rate=1_000.0, drift_every=1_000).seconds > 0.09


def test_what_was_due_while_the_topic_was_away_is_not_made_up_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stall of half a second the stream goes on at its pace, and a tenth of a second's worth comes at once."""
    monkeypatch.setattr(sending, "MOST_LATE_SECONDS", 0.1)
    flush = sending.Outbox.flush
    stalls = [0.5]

    def flush_slowly(outbox: sending.Outbox) -> None:
        time.sleep(stalls.pop() if stalls else 0.0)
        flush(outbox)

    monkeypatch.setattr(sending.Outbox, "flush", flush_slowly)
    # 400 events take 0.4 s. Made up for, they would be there 0.5 s after the start; so it is 0.4 - 0.1 s more at least,
    # but for the events before the stall, which take as long as they wait for the first flush.
    told = send_loans(settings, events=400, rate=1_000.0, drift_every=1_000)
    assert told.seconds > 0.5 + 0.4 - 0.1 - 2 * 0.05


def test_sigterm_ends_a_stream_without_end(settings: Settings) -> None:
    """It comes back with what was sent, as a container that is stopped has to."""
    handler = signal.getsignal(signal.SIGTERM)
    process = os.getpid()

    def stop_once_something_is_sent() -> None:
        while not settings.source.embedded.path.exists() or not sent(settings):
            time.sleep(0.01)
        os.kill(process, signal.SIGTERM)

    alarm = threading.Thread(target=stop_once_something_is_sent)
    alarm.start()
    told = send_loans(settings, events=None, rate=1_000.0, drift_every=1_000)
    alarm.join()
    assert 0 < told.events == len(sent(settings))
    assert signal.getsignal(signal.SIGTERM) is handler


def test_no_loan_is_sent_to_whom_expects_other_events(settings: Settings) -> None:
    """A topic whose trainer would refuse every event is left alone."""
    others = settings.model_copy(update={"schema_": SCHEMA.model_copy(update={"numeric": ("amount",)})})
    with pytest.raises(ConfigurationError, match="the demo sends loans"):
        send_loans(others, events=1, rate=1_000.0, drift_every=10)
    assert not settings.source.embedded.path.exists()


def test_the_stack_s_own_configuration_is_for_loans() -> None:
    """What the compose file mounts until it is told otherwise is valid, and what its sender sends fits it."""
    found = check_tree(yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8")))
    assert found.schema_ == SCHEMA
