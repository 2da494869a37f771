"""Who gets an explanation, and who is told why not."""

import asyncio
import importlib
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.learned import LearnedModel
from service.serve import attribution
from service.serve.explain import EXTRA, NO_ANSWER, Explainer, asks_for_explanation
from service.serve.predictor import Serving
from service.serve.problems import ProblemError
from service.settings.beside import Explain
from tests.unit.serve.builders import checkpoint_of, settings_in

NUMBERS, CODES = np.array([[41.0, 1200.5, 1.0], [20.0, np.nan, 0.0]]), np.array([[2], [0]])
EVER = Explain(max_instance_seconds=60)


def model_in(folder: Path, **settings: Any) -> LearnedModel:
    """Return a small model."""
    checkpoint = checkpoint_of(settings_in(folder, **settings), "000001-00000000")
    return LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)


@pytest.mark.parametrize(("query", "wanted"), [(b"", False), (b"explain=true", True), (b"explain=false", False)])
def test_explanations_are_asked_for_by_the_query(query: bytes, wanted: bool) -> None:
    """`explain=true`, and nothing else."""
    assert asks_for_explanation(query) is wanted


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"explain=maybe", "must be true or false, not 'maybe'"),
        (b"explain", "must be true or false, not ''"),
        (b"explain=True", "not 'True'"),
        (b"explian=true", "'explian' is not known"),
        (b"explain=true&x=1", "'x' is not known"),
        (b"explain=true&explain=true", "more than once"),
        (b"explain=true&explain=false", "more than once"),
        (b"%ff\xff=" + b"y" * 5_000, "is not known"),
    ],
)
def test_any_other_query_is_refused(query: bytes, words: str) -> None:
    """422, with what is wrong and at most as much of the query as one can read."""
    with pytest.raises(ProblemError) as caught:
        asks_for_explanation(query)
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert words in caught.value.detail
    assert len(caught.value.detail) < 400


def test_an_explanation_names_label_method_baseline_and_features(tmp_path: Path) -> None:
    """The baseline and what the features add make up the score of the predicted label."""
    model = model_in(tmp_path)
    outputs = model.predict(NUMBERS, CODES)
    for row, told in enumerate(Explainer(EVER).explained(model, NUMBERS, CODES, outputs)):
        assert told["of"] == model.labels[outputs[row].argmax()]
        assert told["method"] == "Shapley values, exact"
        assert list(told["attributions"]) == ["age", "income", "owner", "city"]
        assert told["baseline"] + sum(told["attributions"].values()) == pytest.approx(outputs[row].max(), abs=1e-5)


def test_a_regressions_value_is_explained(tmp_path: Path) -> None:
    """In units of the label."""
    model = model_in(tmp_path, task="regression", labels=())
    outputs = model.predict(NUMBERS, CODES)
    told = Explainer(EVER).explained(model, NUMBERS, CODES, outputs)
    assert told[0]["of"] == "value"
    assert told[0]["baseline"] + sum(told[0]["attributions"].values()) == pytest.approx(outputs[0, 0], rel=1e-5)


def test_a_slow_model_is_not_explained_and_says_how_slow_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured once for each model, not at every question."""
    model, asked = model_in(tmp_path), []
    predict = model.predict

    def slow(*asked_for: Any) -> Any:
        asked.append(1)
        time.sleep(0.02)
        return predict(*asked_for)

    monkeypatch.setattr(model, "predict", slow)
    explainer = Explainer(Explain(max_instance_seconds=0.1))
    outputs = predict(NUMBERS, CODES)
    for _ in range(2):
        told = explainer.explained(model, NUMBERS, CODES, outputs)
        assert len(told) == 2
        assert "the model is too slow" in told[0]["unavailable"]
        assert "at most 0.1 are allowed" in told[0]["unavailable"]
    assert len(asked) == 3


def test_without_the_extra_the_answer_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, and the prediction itself is there."""
    real = importlib.import_module

    def refuse(name: str) -> Any:
        if name == attribution.CAPTUM:
            raise ModuleNotFoundError("No module named 'captum'")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    model = model_in(tmp_path)
    told = Explainer(EVER).explained(model, NUMBERS, CODES, model.predict(NUMBERS, CODES))
    assert told == [{"unavailable": EXTRA}] * 2
    assert "pip install captum" in EXTRA


@pytest.mark.parametrize("how", ["raises", "gives NaN"])
def test_a_model_that_fails_on_a_part_of_the_values_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It has answered for the instance, but cannot where a feature is replaced by its baseline."""
    model, explainer = model_in(tmp_path), Explainer(EVER)
    outputs = model.predict(NUMBERS, CODES)
    explainer.explained(model, NUMBERS, CODES, outputs)  # it is measured
    predict = model.predict

    def fails(numbers: Any, codes: Any) -> Any:
        found = predict(numbers, codes)
        if how == "raises" and (codes == 1).any():
            raise RuntimeError("never seen")
        found[codes[:, 0] == 1] = np.nan
        return found

    monkeypatch.setattr(model, "predict", fails)
    assert explainer.explained(model, NUMBERS, CODES, outputs) == [{"unavailable": NO_ANSWER}] * 2


def test_too_many_instances_are_refused() -> None:
    """413, with the setting's name."""
    explainer = Explainer(Explain(max_instances=3))
    explainer.admit(3)
    with pytest.raises(ProblemError, match=r"serve\.explain\.max_instances") as caught:
        explainer.admit(4)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_more_requests_than_may_wait_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 at once, while the others get theirs; the event loop is free meanwhile."""
    model = model_in(tmp_path)
    serving = Serving("000001-00000000", checkpoint_of(settings_in(tmp_path), "000001-00000000").manifest, model, 0.0)
    outputs = model.predict(NUMBERS, CODES)
    explainer, may_go_on = Explainer(Explain(max_in_flight=2, max_instance_seconds=60)), threading.Event()
    explained = explainer.explained

    def wait(*asked: Any) -> Any:
        may_go_on.wait(30)
        return explained(*asked)

    monkeypatch.setattr(explainer, "explained", wait)

    async def ask() -> list[Any]:
        tasks = [asyncio.create_task(explainer.explain(serving, NUMBERS, CODES, outputs)) for _ in range(3)]
        await asyncio.wait([tasks[2]], timeout=30)
        may_go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert first == second
    assert isinstance(third, ProblemError)
    assert third.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert third.headers["Retry-After"]
    assert "serve.explain.max_in_flight" in third.detail
