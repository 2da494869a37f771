"""What the gate rejects is shown to servers where the configuration asks for it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.model.learned import LearnedModel
from service.settings import Settings
from service.store.challengers import CHALLENGERS, leave_challenger, newest_candidate, read_challenger
from service.trainer import challengers
from service.trainer.challengers import ChallengerShow
from service.validate.gate import REJECT, Decision
from tests.unit.serve.builders import checkpoint_of, settings_in

REJECTED = Decision(REJECT, "forward_worse", "newest", {"mean": 0.1})
ROOT = "000001-00000000"


def asking(folder: Path, *candidates: str) -> Settings:
    """Return settings with these candidates."""
    return settings_in(folder, shadow={"candidates": list(candidates)})


def model_in(folder: Path) -> LearnedModel:
    """Return a small model."""
    checkpoint = checkpoint_of(settings_in(folder), ROOT)
    return LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)


def wait_for(settings: Settings, number: int) -> str:
    """Return the id of a round's challenger once it lies in the store."""
    while True:
        found = newest_candidate(settings.store.path)
        if found is not None and found.startswith(f"{number:06d}-"):
            return found
        time.sleep(0.01)


def given_of(number: int) -> Any:
    """Return what of a round's inputs a manifest tells."""
    return SimpleNamespace(number=number, parent=ROOT, trigger="new_events", trained_until_ms=1_700_000_000_000)


def test_a_rejected_challenger_lies_in_the_store(tmp_path: Path) -> None:
    """With its weights, and a manifest that tells its round and why the gate did not let it pass."""
    settings, model = asking(tmp_path, "challenger"), model_in(tmp_path)
    show = ChallengerShow(settings, 3)
    show.show(given_of(7), REJECTED, model, ROOT)
    found = read_challenger(settings.store.path, wait_for(settings, 7))
    assert found.manifest.round == 7
    assert found.manifest.lineage == ROOT
    assert found.manifest.gate == {"decision": REJECT, "reason": "forward_worse", "numbers": {"mean": 0.1}}
    assert found.manifest.fence == 3
    again = LearnedModel.from_parts(found.tensors, found.encoder)
    assert again.weights().keys() == model.weights().keys()
    show.show(given_of(8), REJECTED, model, ROOT)
    wait_for(settings, 8)


def test_challengers_of_a_lost_state_make_room_for_those_of_the_new_one(tmp_path: Path) -> None:
    """A trainer that begins anew counts its rounds from the start: what came before is not newer for its number."""
    settings, model = asking(tmp_path, "challenger"), model_in(tmp_path)
    for number in (900, 901):
        leave_challenger(settings.store.path, checkpoint_of(settings, f"{number:06d}-00000000"))
    show = ChallengerShow(settings, 4)
    for number in (3, 4):
        show.show(given_of(number), REJECTED, model, ROOT)
        wait_for(settings, number)
    kept = sorted(entry.name[:6] for entry in (settings.store.path / CHALLENGERS).iterdir())
    assert kept == ["000003", "000004"]


@pytest.mark.parametrize("candidates", [(), ("latest",)])
def test_nothing_is_left_where_nobody_asks(tmp_path: Path, candidates: tuple[str, ...]) -> None:
    """No thread, no file."""
    settings = asking(tmp_path, *candidates)
    show = ChallengerShow(settings, 1)
    show.show(given_of(7), REJECTED, model_in(tmp_path), ROOT)
    assert show._thread is None
    assert not (settings.store.path / CHALLENGERS).exists()


def test_a_round_that_counted_for_nothing_leaves_nothing(tmp_path: Path) -> None:
    """It has no model that was judged."""
    show = ChallengerShow(asking(tmp_path, "challenger"), 1)
    show.show(given_of(7), REJECTED, None, ROOT)
    show.show(given_of(7), REJECTED, model_in(tmp_path), None)
    assert show._thread is None


def test_what_cannot_be_written_is_told_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs challengers, nothing else."""
    settings, model = asking(tmp_path, "challenger"), model_in(tmp_path)
    leave = challengers.leave_challenger
    tried: list[str] = []

    def refuse(_: Path, checkpoint: Any) -> None:
        tried.append(checkpoint.manifest.id)
        raise OSError(28, "No space left on device")

    with capture_logs() as logs:
        monkeypatch.setattr(challengers, "leave_challenger", refuse)
        show = ChallengerShow(settings, 1)
        for number in (5, 6):
            show.show(given_of(number), REJECTED, model, ROOT)
            while len(tried) < number - 4:
                time.sleep(0.01)
        monkeypatch.setattr(challengers, "leave_challenger", leave)
        show.show(given_of(7), REJECTED, model, ROOT)
        wait_for(settings, 7)
    (told,) = [line for line in logs if line["log_level"] == "warning"]
    assert "No space left" in told["problem"]
