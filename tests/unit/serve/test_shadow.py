"""Other checkpoints are asked what the serving one was asked, and counted."""

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.model.learned import LearnedModel
from service.observer import Observer
from service.serve import shadow as shadows
from service.serve.batching import Batcher
from service.serve.candidates import IT_SERVES, NOTHING_YET
from service.serve.predictor import Predictor, Serving
from service.serve.shadow import Shadow
from service.settings import Settings
from service.store.challengers import leave_challenger
from service.store.checkpoints import Checkpoint
from tests.unit.serve.builders import checkpoint_of, damage, model_of, publish, settings_in, store_of

ROWS: list[tuple[Any, ...]] = [(41.0, 1200.5, True, "Rome"), (20.0, None, False, "Oslo"), (70.0, 10.0, True, "Paris")]
PINNED = "000001-00000000"


class Counting(Observer):
    """Keeps what was compared, and what was not."""

    def __init__(self) -> None:
        self.compared: dict[str, list[float]] = {}
        self.dropped: Counter[tuple[str, str]] = Counter()

    def shadowed(self, candidate: str, instances: int, agreed: int | None, difference: float) -> None:
        """Add up."""
        sums = self.compared.setdefault(candidate, [0, 0, 0.0])
        for place, value in enumerate((instances, agreed or 0, difference)):
            sums[place] += value

    def shadow_dropped(self, candidate: str, reason: str, instances: int) -> None:
        """Add up."""
        self.dropped[candidate, reason] += instances


class Stage:
    """A store, what serves, and a shadow over them whose thread is not started: tests take its turns."""

    def __init__(self, folder: Path, *candidates: str, task: str = "binary", share: float = 1.0) -> None:
        labels = () if task == "regression" else ("no", "yes")
        shadow = {"candidates": list(candidates), "share": share}
        self.settings: Settings = settings_in(folder, task=task, labels=labels, shadow=shadow)
        self.predictor, self.observer = Predictor(), Counting()
        self.store = store_of(self.settings)
        self.shadow = Shadow(self.settings, self.store, self.predictor, self.observer)

    def write(self, checkpoint_id: str, *, seed: int = 0, **encoder: Any) -> Checkpoint:
        """Write a checkpoint that nothing points to; what is given replaces parts of its encoder."""
        made = checkpoint_of(self.settings, checkpoint_id, seed=seed)
        made = replace(made, encoder=made.encoder | encoder)
        self.store.write(made)
        return made

    def serve(self, checkpoint_id: str) -> Serving:
        """Let a checkpoint serve."""
        checkpoint = self.store.read(checkpoint_id)
        model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
        self.predictor.current = Serving(checkpoint_id, checkpoint.manifest, model, 0.0)
        return self.predictor.current

    def answer(self, rows: list[tuple[Any, ...]] | None = None, *, with_rows: bool = True) -> Any:
        """Answer rows from what serves, tell the shadow, and return the outputs."""
        assert self.predictor.current is not None
        rows = rows or ROWS
        model = self.predictor.current.model
        numbers, texts = model.columns.columns(rows)
        codes = model.categories.encode(texts, grow=False, rows=len(rows))
        outputs = model.predict(numbers, codes)
        told = rows if with_rows else [None] * len(rows)
        self.shadow.listen(self.predictor.current, numbers, codes, outputs, told)
        return outputs

    def turn(self) -> None:
        """Let the shadow look for candidates, and compare all that waits."""
        self.shadow._look_at = 0.0
        while self.shadow.work():
            pass

    def problem(self, place: int = 0) -> str | None:
        """Return why a candidate is not compared."""
        return self.shadow.candidates[place].problem


def test_agreement_and_difference_are_those_of_the_two_models(tmp_path: Path) -> None:
    """Counted over the sampled instances: the same label, and the total variation distance of the scores."""
    stage = Stage(tmp_path, PINNED)
    stage.write(PINNED, seed=1)
    stage.serve(publish(stage.settings))
    rows = [(float(age), None, age % 2 == 0, "Rome") for age in range(10, 90)]
    served = stage.answer(rows)
    stage.turn()
    other = model_of(stage.settings, PINNED)
    numbers, texts = other.columns.columns(rows)
    said = other.predict(numbers, other.categories.encode(texts, grow=False, rows=len(rows)))
    instances, agreed, difference = stage.observer.compared[PINNED]
    assert instances == 80
    assert agreed == (said.argmax(axis=1) == served.argmax(axis=1)).sum()
    assert 0 < agreed < 80
    assert difference == pytest.approx(np.abs(said - served)[:, 0].sum(), rel=1e-5)
    assert not stage.observer.dropped


def test_a_regression_differs_in_units_of_its_label(tmp_path: Path) -> None:
    """And nothing agrees or disagrees: there are no labels."""
    stage = Stage(tmp_path, PINNED, task="regression")
    stage.write(PINNED, seed=1)
    stage.serve(publish(stage.settings))
    told: list[int | None] = []
    stage.observer.shadowed = lambda _name, _count, agreed, difference: told.extend([agreed, difference])  # type: ignore[method-assign]
    served = stage.answer(ROWS[:1])
    stage.turn()
    other = model_of(stage.settings, PINNED)
    numbers, texts = other.columns.columns(ROWS[:1])
    said = other.predict(numbers, other.categories.encode(texts, grow=False, rows=1))
    assert told == [None, pytest.approx(abs(said[0, 0] - served[0, 0]))]


def test_each_model_reads_categories_by_its_own_vocabulary(tmp_path: Path) -> None:
    """Twins whose vocabularies are in another order answer the same, though the same text has another code."""
    stage = Stage(tmp_path, PINNED)
    champion = publish(stage.settings)
    made = stage.store.read(champion)
    # Row 2 of a category's weights is its first value's, row 3 the second's.
    swapped = {name: array.copy() for name, array in made.tensors.items()}
    swapped["layers.0.category0"][[2, 3]] = swapped["layers.0.category0"][[3, 2]]
    manifest = made.manifest.model_copy(update={"id": PINNED, "lineage": PINNED})
    encoder = made.encoder | {"categories": {"city": ["Oslo", "Rome"]}}
    stage.store.write(Checkpoint(manifest, swapped, encoder))
    stage.serve(champion)
    for with_rows in (True, False):
        stage.answer(ROWS[:2], with_rows=with_rows)
    stage.turn()
    assert stage.observer.compared[PINNED] == [4, 4, pytest.approx(0.0, abs=1e-6)]


def test_a_category_that_only_the_candidate_has_learnt_reaches_it_as_text(tmp_path: Path) -> None:
    """It knows Paris, which the serving one takes for unknown; without the text such an instance is left out."""
    stage = Stage(tmp_path, PINNED)
    stage.write(PINNED, categories={"city": ["Rome", "Oslo", "Paris"]})
    stage.serve(publish(stage.settings))
    served = stage.answer(ROWS[2:])
    stage.turn()
    other = model_of(stage.settings, PINNED)
    said = other.predict(*_encoded(other, ROWS[2:]))
    assert stage.observer.compared[PINNED][2] == pytest.approx(abs(said - served)[0, 0], rel=1e-5)
    assert stage.observer.compared[PINNED][2] > 1e-4
    stage.answer(with_rows=False)
    stage.turn()
    assert stage.observer.compared[PINNED][0] == 1 + 2
    assert stage.observer.dropped == {(PINNED, "unknown_category"): 1}


def _encoded(model: LearnedModel, rows: list[tuple[Any, ...]]) -> tuple[Any, Any]:
    numbers, texts = model.columns.columns(rows)
    return numbers, model.categories.encode(texts, grow=False, rows=len(rows))


def test_labels_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    """A twin with its labels, and so its outputs, the other way round agrees in everything."""
    stage = Stage(tmp_path, PINNED)
    champion = publish(stage.settings)
    made = stage.store.read(champion)
    turned = {
        name: array[::-1].copy()
        if name == "layers.1.weight"
        else array[:, ::-1].copy()
        if name == "layers.1.bias"
        else array
        for name, array in made.tensors.items()
    }
    manifest = made.manifest.model_copy(update={"id": PINNED, "lineage": PINNED})
    stage.store.write(Checkpoint(manifest, turned, made.encoder | {"labels": ["yes", "no"]}))
    stage.serve(champion)
    stage.answer()
    stage.turn()
    assert stage.observer.compared[PINNED] == [3, 3, pytest.approx(0.0, abs=1e-6)]


def test_the_latest_runs_in_the_shadow_while_another_serves(tmp_path: Path) -> None:
    """What would serve without the pin; while it serves itself there is nothing to compare."""
    stage = Stage(tmp_path, "latest")
    stage.turn()
    assert stage.problem() == NOTHING_YET
    older = publish(stage.settings)
    stage.serve(older)
    stage.answer()
    stage.turn()
    assert stage.problem() == IT_SERVES
    newer = publish(stage.settings, seed=1)
    stage.turn()
    assert stage.shadow.candidates[0].checkpoint_id == newer
    assert stage.problem() is None
    stage.answer()
    stage.turn()
    assert stage.observer.compared["latest"][0] == 3
    stage.serve(newer)
    stage.answer()  # before the shadow has looked again
    stage.shadow.work()
    assert stage.observer.compared["latest"][0] == 3


def test_the_challenger_is_followed_from_round_to_round(tmp_path: Path) -> None:
    """Rejected or promoted, it is what the trainer has made last."""
    stage = Stage(tmp_path, "challenger")
    stage.serve(publish(stage.settings))
    stage.turn()
    assert stage.problem() == IT_SERVES
    for number in (8, 9):
        rejected = checkpoint_of(stage.settings, f"{number:06d}-00000000", seed=number)
        leave_challenger(stage.settings.store.path, rejected)
        stage.turn()
        assert stage.shadow.candidates[0].checkpoint_id == rejected.manifest.id
        stage.answer()
        stage.turn()
        assert stage.observer.compared["challenger"][0] == 3 * (number - 7)
    promoted = stage.write("000010-00000000").manifest.id
    stage.turn()
    assert stage.shadow.candidates[0].checkpoint_id == promoted
    assert stage.problem() is None


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"labels": ["no", "perhaps"]}, "labels without yes and now with perhaps"),
        ({"task": "regression", "labels": []}, "task was"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path: Path, encoder: dict[str, Any], words: str) -> None:
    """Other labels or another task: the status says so, and nothing is counted."""
    stage = Stage(tmp_path, PINNED)
    made = checkpoint_of(stage.settings, PINNED)
    tensors = dict(made.tensors)
    if "task" in encoder:
        tensors |= {name: array[..., :1] for name, array in tensors.items() if name == "layers.1.bias"}
        tensors |= {name: array[:1] for name, array in tensors.items() if name == "layers.1.weight"}
    stage.store.write(replace(made, tensors=tensors, encoder=made.encoder | encoder))
    stage.serve(publish(stage.settings))
    stage.turn()
    problem = stage.problem()
    assert problem is not None
    assert words in problem
    stage.answer()
    stage.turn()
    assert not stage.observer.compared


def test_a_damaged_candidate_is_told_and_a_later_one_is_taken(tmp_path: Path) -> None:
    """It is read once, not at every look."""
    stage = Stage(tmp_path, "latest")
    stage.serve(publish(stage.settings))
    damaged = publish(stage.settings, seed=1)
    damage(stage.settings, damaged)
    with capture_logs() as logs:
        for _ in range(3):
            stage.turn()
    assert "SHA-256" in (stage.problem() or "")
    assert len([line for line in logs if line["log_level"] == "warning"]) == 1
    publish(stage.settings, seed=2)
    stage.turn()
    assert stage.problem() is None


def test_a_checkpoint_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """It may come with the next look."""
    stage = Stage(tmp_path, PINNED)
    stage.serve(publish(stage.settings))
    stage.turn()
    assert f"no checkpoint '{PINNED}'" in (stage.problem() or "")
    stage.write(PINNED)
    stage.turn()
    assert stage.problem() is None


def test_a_candidate_that_fails_is_counted_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's module may raise; the thread lives on, and the next sample is tried again."""
    stage = Stage(tmp_path, PINNED)
    stage.write(PINNED, seed=1)
    stage.serve(publish(stage.settings))
    stage.turn()
    other = stage.shadow.candidates[0].model
    assert other is not None

    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    with capture_logs() as logs:
        monkeypatch.setattr(other, "predict", fail)
        for _ in range(2):
            stage.answer()
            stage.turn()
    assert stage.observer.dropped == {(PINNED, "no_answer"): 6}
    assert [line["problem"] for line in logs if line["log_level"] == "warning"] == ["out of luck"]
    monkeypatch.undo()
    stage.answer()
    stage.turn()
    assert stage.observer.compared[PINNED][0] == 3


def test_an_answer_that_is_no_number_is_counted_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would spoil the sum of differences for good."""
    stage = Stage(tmp_path, PINNED)
    stage.write(PINNED)
    stage.serve(publish(stage.settings))
    stage.turn()
    other = stage.shadow.candidates[0].model
    assert other is not None
    monkeypatch.setattr(
        other, "predict", lambda numbers, _: np.array([[np.nan, 1.0], *[[0.5, 0.5]] * (len(numbers) - 1)])
    )
    stage.answer()
    stage.turn()
    assert stage.observer.dropped == {(PINNED, "no_answer"): 1}
    assert stage.observer.compared[PINNED][0] == 2
    assert np.isfinite(stage.observer.compared[PINNED][2])


def test_what_does_not_fit_the_queue_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each candidate; what fits is compared, in passes of a bounded size."""
    monkeypatch.setattr(shadows, "MOST_WAITING", 5)
    monkeypatch.setattr(shadows, "MOST_ROWS", 2)
    stage = Stage(tmp_path, PINNED, "latest")
    stage.write(PINNED)
    stage.serve(publish(stage.settings))
    stage.answer()
    stage.answer()
    stage.answer()
    assert stage.observer.dropped == {(PINNED, "queue_full"): 4, ("latest", "queue_full"): 4}
    stage.turn()
    assert stage.observer.compared == {PINNED: [5, 5, pytest.approx(0.0, abs=1e-6)]}
    stage.answer()
    stage.turn()
    assert stage.observer.compared[PINNED][0] == 8


def test_only_the_share_is_taken(tmp_path: Path) -> None:
    """Of a thousand instances a tenth, to one."""
    stage = Stage(tmp_path, PINNED, share=0.1)
    stage.write(PINNED)
    stage.serve(publish(stage.settings))
    for _ in range(100):
        stage.answer([ROWS[0]] * 10)
    stage.turn()
    assert abs(stage.observer.compared[PINNED][0] - 100) <= 1


def test_the_thread_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Also before it has begun, and twice."""
    stage = Stage(tmp_path, "latest")
    stage.shadow.stop()
    stage = Stage(tmp_path, "latest")
    stage.shadow.start()
    assert "shadow" in [thread.name for thread in threading.enumerate()]
    stage.shadow.stop()
    stage.shadow.stop()
    assert "shadow" not in [thread.name for thread in threading.enumerate()]


def test_without_candidates_nobody_listens(tmp_path: Path) -> None:
    """No listener, no thread: it costs nothing."""
    from service.server import Server  # noqa: PLC0415 - the composition root, for this test alone

    server = Server(settings_in(tmp_path))
    batcher: Batcher = server._http.config.app.state.batcher
    assert batcher.listeners == []
    assert "shadow" not in [thread.name for thread in threading.enumerate()]
