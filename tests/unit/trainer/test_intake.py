"""How records come in: at once where many wait, in turns where they trickle."""

from pathlib import Path

import pytest

from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.observer import Observer
from service.settings import Settings
from service.trainer import intake as intake_module
from service.trainer.intake import Intake
from tests.examples import learner_of

EVENT = b'{"features": {"a": 1.0, "b": 2.0}, "label": "yes"}'


@pytest.mark.parametrize(("waiting", "room", "pauses"), [(3, None, True), (40, None, False), (40, 4, False)])
def test_a_pause_is_made_only_where_little_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, room: int | None, pauses: bool
) -> None:
    """Of a backlog the next poll is at once, also where little of it may be taken; else turns are a while apart."""
    monkeypatch.setattr(intake_module, "TURN_SECONDS", 1_000.0)
    path = tmp_path / "log.sqlite"
    sink = EmbeddedSink(path)
    for _ in range(waiting):
        sink.send("events", EVENT)
    sink.flush()
    settings = Settings.model_validate({"source": {"poll_events": 100}}).source
    source = EmbeddedSource(path, ["events"], "test")
    learner = learner_of()
    source.seek({}, {})
    intake = Intake(settings, source, learner, Observer())
    seconds = intake.step(room)
    assert learner.counts["accepted"] == min(waiting, room or waiting)
    assert (0.0 < seconds <= 1_000.0) if pauses else seconds == 0.0
    source.close()
    sink.close()
