"""A real server that explains its answers."""

import threading
from pathlib import Path

import pytest

from tests.unit.serve.builders import INSTANCE, problem_of, publish, settings_in
from tests.unit.serve.running import served


def test_explained_answers_add_up_and_nobody_else_waits(tmp_path: Path) -> None:
    """Each prediction has its explanation; what is asked meanwhile is answered without one."""
    settings = settings_in(tmp_path, explain={"max_instance_seconds": 60, "max_in_flight": 4})
    publish(settings)
    instances = [INSTANCE, {**INSTANCE, "city": "Nowhere", "income": None}]
    plain: list[bool] = []
    with served(settings) as client:

        def ask() -> None:
            for _ in range(20):
                answer = client.post("/v1/predict", json={"instances": instances})
                plain.append(answer.status_code == 200 and "explanation" not in answer.json()["predictions"][0])

        others = threading.Thread(target=ask)
        others.start()
        for _ in range(3):
            answer = client.post("/v1/predict?explain=true", json={"instances": instances})
            assert answer.status_code == 200
            for prediction in answer.json()["predictions"]:
                told = prediction["explanation"]
                assert told["of"] == prediction["label"]
                assert set(told["attributions"]) == set(INSTANCE)
                total = told["baseline"] + sum(told["attributions"].values())
                assert total == pytest.approx(prediction["scores"][told["of"]], abs=1e-5)
        others.join()
        unasked = client.post("/v1/predict?explain=false", json={"instances": instances})
        assert "explanation" not in unasked.json()["predictions"][0]
    assert plain == [True] * 20


def test_what_cannot_be_explained_is_said(tmp_path: Path) -> None:
    """Too slow a model is told in the answer; a wrong query and too many instances are the client's to mend."""
    settings = settings_in(tmp_path, explain={"max_instance_seconds": 1e-9, "max_instances": 2})
    publish(settings)
    with served(settings) as client:
        answer = client.post("/v1/predict?explain=true", json={"instances": [INSTANCE]})
        assert "too slow" in answer.json()["predictions"][0]["explanation"]["unavailable"]
        many = client.post("/v1/predict?explain=true", json={"instances": [INSTANCE] * 3})
        assert "serve.explain.max_instances" in problem_of(many, 413)["detail"]
        assert client.post("/v1/predict", json={"instances": [INSTANCE] * 3}).status_code == 200
        wrong = client.post("/v1/predict?explain=maybe", json={"instances": [INSTANCE]})
        assert "not 'maybe'" in problem_of(wrong, 422)["detail"]
        unknown = client.post("/v1/predict?verbose=true", json={"instances": [INSTANCE]})
        assert "'verbose' is not known" in problem_of(unknown, 422)["detail"]
