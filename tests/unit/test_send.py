"""Files into the embedded log: what events get, what happens where a file or the log fails."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.errors import SourceRefusedError, SourceUnavailableError, TableError
from service.ingest.connect import open_source
from service.send import send_file
from service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with one numeric feature, on an embedded log of the test's own."""
    schema = {"numeric": ["x"], "label": "y"}
    return Settings.model_validate(
        {"schema": schema, "source": {"embedded": {"path": tmp_path / "data" / "log.sqlite"}}}
    )


def written(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path


def events(settings: Settings) -> list[dict[str, Any]]:
    """Return all events in the topic, in order."""
    source = open_source(settings)
    try:
        return [json.loads(value or b"null") for batch in source.poll(100_000, 0.01) for value in batch.values]
    finally:
        source.close()


def test_every_row_becomes_an_event_with_id_and_time(settings: Settings, tmp_path: Path) -> None:
    """An event has the file and row as its id and the time of sending, in order of the rows."""
    sent = send_file(written(tmp_path / "some.data.csv", "x,y\n1,u\n2.5,d\n"), settings)
    found = events(settings)
    assert (sent.events, sum(sent.refused.values())) == (2, 0)
    assert [event["id"] for event in found] == ["some.data-1", "some.data-2"]
    assert [event["features"] for event in found] == [{"x": 1}, {"x": 2.5}]
    assert [event["label"] for event in found] == ["u", "d"]
    assert all(isinstance(event["ts"], int) for event in found)


def test_ids_and_times_of_the_file_are_kept(settings: Settings, tmp_path: Path) -> None:
    """What the file says about identity and time is passed on."""
    send_file(written(tmp_path / "a.csv", "id,ts,x,y\n7,1700000000000,1,u\n"), settings)
    assert events(settings) == [{"id": "7", "ts": 1700000000000, "features": {"x": 1}, "label": "u"}]


def test_nan_and_odd_text_reach_the_topic(settings: Settings, tmp_path: Path) -> None:
    """The sender hides nothing from ingest, which refuses it with its reason."""
    lines = '{"id": "\\ud800", "x": NaN, "y": "u"}\n{"features": 5}\n{"x": 1e999, "y": {"deep": [1]}}\n'
    assert send_file(written(tmp_path / "a.jsonl", lines), settings).events == 3
    found = events(settings)
    assert found[1]["features"] == 5
    assert found[2]["label"] == {"deep": [1]}


def test_a_rate_is_kept_on_average(settings: Settings, tmp_path: Path) -> None:
    """No event goes out before it is due: the last of n is sent no sooner than n - 1 intervals after the first."""
    sent = send_file(written(tmp_path / "a.csv", "x,y\n" + "1,u\n" * 101), settings, rate=1_000)
    assert sent.seconds > 0.09


def test_progress_ends_with_everything(settings: Settings, tmp_path: Path) -> None:
    """The last call names all events and the whole file."""
    calls: list[tuple[int, float]] = []
    send_file(
        written(tmp_path / "a.csv", "x,y\n" + "1,u\n" * 12_000),
        settings,
        progress=lambda sent, share: calls.append((sent, share)),
    )
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert calls[-1] == (12_000, 1.0)


def test_rows_before_a_broken_one_are_sent_and_said(settings: Settings, tmp_path: Path) -> None:
    """A file that breaks off midway ends the command, with the line and what was sent."""
    with pytest.raises(TableError, match=r"line 4 .* the 2 events of the rows before it were sent"):
        send_file(written(tmp_path / "a.csv", "x,y\n1,u\n2,d\n3\n"), settings)
    assert len(events(settings)) == 2


def test_what_the_log_refuses_is_counted(settings: Settings, tmp_path: Path) -> None:
    """A topic that cannot be written to is waited for, said once, and then an error that a retry may help."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is needed")
    embedded = settings.source.embedded.model_copy(update={"path": blocked / "log.sqlite"})
    unusable = settings.model_copy(update={"source": settings.source.model_copy(update={"embedded": embedded})})
    path = written(tmp_path / "a.csv", "x,y\n1,u\n")
    with structlog.testing.capture_logs() as logs, pytest.raises(SourceUnavailableError) as caught:
        send_file(path, unusable, patience_seconds=0.7)
    assert caught.value.exit_code == 1
    assert len(logs) == 1


def test_what_no_waiting_cures_ends_at_once(settings: Settings, tmp_path: Path) -> None:
    """A missing secret is no topic that is away: one attempt, no word of trying again, and the line that says why."""
    security = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u", "password_file": tmp_path / "none"}
    kafka = {"bootstrap_servers": "127.0.0.1:1", "security": security}
    refused = Settings.model_validate(
        {**settings.model_dump(by_alias=True), "source": {"kind": "kafka", "kafka": kafka}}
    )
    path = written(tmp_path / "a.csv", "x,y\n1,u\n")
    with structlog.testing.capture_logs() as logs, pytest.raises(SourceRefusedError, match="none cannot be read"):
        send_file(path, refused, patience_seconds=3_600)
    assert logs == []
