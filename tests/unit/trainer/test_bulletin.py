"""What the trainer tells of itself beyond its learner: pace, health, and the course that outlives it."""

from pathlib import Path

import pytest

from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.learner.learner import Learner
from service.observer import Observer
from service.records import Partition
from service.settings import Settings
from service.store.course import write_course
from service.train.supervisor import TrainingWorker
from service.trainer.bulletin import PACE_REPORTS, Bulletin
from service.trainer.intake import Intake
from tests.examples import learner_of

LAG = {Partition("events", 0): 3, Partition("events", 1): 4}


def settings_in(folder: Path) -> Settings:
    """Return settings whose store is in a folder."""
    return Settings.model_validate(
        {"store": {"path": str(folder / "store")}, "schema": {"numeric": ["a", "b"], "labels": ["no", "yes"]}}
    )


def bulletin_of(settings: Settings, learner: Learner) -> tuple[Bulletin, Intake]:
    """Return a bulletin, and the intake that it looks at."""
    source = EmbeddedSource(settings.store.path.parent / "log.sqlite", ["events"], "test")
    source.seek({}, {})
    intake = Intake(settings.source, source, learner, Observer())
    return Bulletin(settings, learner, intake), intake


def test_the_course_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A new trainer adds to what the one before it has left in the store."""
    settings, learner = settings_in(tmp_path), learner_of()
    learner.counts["predicted"] = 100
    former, _ = bulletin_of(settings, learner)
    course = former.note(1.0, LAG)
    assert course is not None
    assert (course.events, course.lag) == ([100], [7])
    write_course(settings.store.path, course)

    later, _ = bulletin_of(settings, learner)
    assert later.note(1.0, LAG) is None, "nothing was predicted since"
    learner.counts["predicted"] = 150
    learner.outcomes |= {"promoted": 3, "rolled_back": 1}
    grown = later.note(2.0, {})
    assert grown is not None
    assert (grown.events, grown.lag, grown.promoted) == ([100, 150], [7, 0], [0, 3])


def test_the_pace_is_over_the_newest_reports(tmp_path: Path) -> None:
    """Accepted and refused records by the second; a stream that ends comes to rest soon."""
    settings, learner = settings_in(tmp_path), learner_of()
    bulletin, _ = bulletin_of(settings, learner)
    worker = TrainingWorker(settings.train.worker, Observer())
    bulletin.note(0.0, {})
    assert bulletin.status(worker, None, None)["events_per_second"] == 0
    learner.counts |= {"accepted": 900, "refused": 100}
    bulletin.note(2.0, {})
    assert bulletin.status(worker, None, None)["events_per_second"] == pytest.approx(500)
    for report in range(PACE_REPORTS):
        bulletin.note(3.0 + report, {})
    assert bulletin.status(worker, None, None)["events_per_second"] == 0


def test_the_status_tells_of_refusals_and_health(tmp_path: Path) -> None:
    """Refused records by reason, when the source last answered, what the worker does, and what the round is at."""
    settings, learner = settings_in(tmp_path), learner_of()
    sink = EmbeddedSink(tmp_path / "log.sqlite")
    for value in (b"nonsense", b"[]", b"more of it"):
        sink.send("events", value)
    sink.flush()
    sink.close()
    bulletin, intake = bulletin_of(settings, learner)
    worker = TrainingWorker(settings.train.worker, Observer())
    bulletin.note(0.0, {})
    before = bulletin.status(worker, None, None)
    assert (before["refused"], before["read_at"], before["arrived_at"], before["saved_at"]) == ({}, None, None, None)
    intake.step()
    worker.restarts["crash"] += 2
    learner.counts["rounds"] = 7
    status = bulletin.status(worker, "training", 1_769_851_800.25)
    assert status["refused"] == {"not_json": 2, "not_object": 1}
    assert status["read_at"] == status["arrived_at"] >= status["started_at"]
    assert status["saved_at"] == "2026-01-31T09:30:00.250Z"
    assert status["round"] == {"number": 7, "stage": "training"}
    assert status["worker"] == {"ready": False, "restarts": {"crash": 2, "hang": 0, "deadline": 0}}
    assert status["worth_an_alarm"] == settings.drift.least_score
