"""A round of a user's own network as a directory: its factory is imported only where somebody names it."""

import json
from pathlib import Path

import pytest

from service.learner.admission import require_model
from service.model import custom
from service.train import __main__ as by_hand
from service.train.round import write_round
from tests.examples import learner_of, separable

MODULE = "tests.networks:Linear"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of a round; afterwards this process trusts no factory any more."""
    learner = learner_of(train={"portfolio": None, "first_steps": 5, "model": {"module": MODULE}})
    require_model(learner.settings)
    learner.absorb(separable(100))
    write_round(tmp_path, learner.begin_round("new_events", 0.0))
    monkeypatch.setattr(custom, "_trusted", set())
    return tmp_path


def test_by_hand_it_is_trained_with_the_module_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory alone may not choose what is run; who names the same module may go on."""
    monkeypatch.setattr("sys.argv", ["service.train", str(directory)])
    assert by_hand.main() == 1
    assert f"{MODULE} made this model, and this configuration does not name it" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["service.train", str(directory), "--module", MODULE])
    assert by_hand.main() == 0
    assert json.loads(capsys.readouterr().out)["challengers"][0]["steps"] == 5
