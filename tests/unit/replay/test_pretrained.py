"""A recording begins at the model that `pretrain` has made, and leaves it as it was."""

from pathlib import Path

import pytest

from service.configuration import load_settings
from service.pretrain import pretrain
from service.replay import replay
from service.settings import Settings
from tests.unit.replay.test_replay import QUICK, rows_of, text_of


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings whose store holds a pre-trained model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "past.csv").write_text(text_of(rows_of(300, seed=2)[:150]))
    made = load_settings(None, (*QUICK, "schema.numeric=[a, b]", "schema.label=y", "train.first_steps=200"), {})
    pretrain(made, tmp_path / "past.csv")
    return made


def test_a_pretrained_model_serves_first_and_is_the_frozen_one(settings: Settings, tmp_path: Path) -> None:
    """No event is guessed, and the first round goes through the gate; the store is only read."""
    (tmp_path / "a.csv").write_text(text_of(rows_of(120)[:60]))
    before = {path: path.stat().st_mtime_ns for path in settings.store.path.rglob("*")}
    said: list[str] = []
    result = replay(settings, tmp_path / "a.csv", say=said.append)
    assert result["pretrained"] is not None
    assert any(f"{result['pretrained']} serves first" in line for line in said)
    assert result["accuracy"]["frozen"] > 0.8
    assert "promote/first_checkpoint" not in result["decisions"]
    assert {path: path.stat().st_mtime_ns for path in settings.store.path.rglob("*")} == before


def test_a_model_of_another_schema_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    """It is said why."""
    (tmp_path / "a.csv").write_text(text_of(rows_of(60)))
    schema = settings.schema_.model_copy(update={"numeric": ("a",)})
    said: list[str] = []
    result = replay(settings.model_copy(update={"schema_": schema}), tmp_path / "a.csv", say=said.append)
    assert result["pretrained"] is None
    assert result["decisions"]["promote/first_checkpoint"] == 1
    assert any("is not used: it was made under another configuration (numeric without b)" in line for line in said)
