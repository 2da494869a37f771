"""POST /v1/predict over real HTTP."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.model.learned import LearnedModel
from service.serve.predictor import INLINE_ROWS, Predictor, Serving
from tests.unit.serve.builders import (
    INSTANCE,
    TRAINED_UNTIL,
    checkpoint_of,
    model_of,
    problem_of,
    publish,
    settings_in,
)
from tests.unit.serve.running import Service


def test_an_answer_names_its_checkpoint_and_holds_its_scores(serving: Callable[..., Service], tmp_path: Path) -> None:
    """One prediction an instance, in order, as the checkpoint's own model gives them."""
    settings = settings_in(tmp_path)
    checkpoint_id = publish(settings)
    service = serving(settings)
    instances = [{**INSTANCE, "age": age} for age in (1, 40, 90)]
    answer = service.predict(*instances).json()
    assert answer["checkpoint"] == {"id": checkpoint_id, "trained_until": TRAINED_UNTIL}
    model = model_of(settings, checkpoint_id)
    for instance, prediction in zip(instances, answer["predictions"], strict=True):
        numbers, texts = model.columns.columns([model.columns.row(instance)])
        expected = model.predict(numbers, model.categories.encode(texts, grow=False, rows=1))[0]
        assert prediction["scores"] == pytest.approx(dict(zip(model.labels, expected, strict=True)))
        assert set(prediction) == {"label", "scores"}


def test_a_regression_answers_with_a_value(serving: Callable[..., Service], tmp_path: Path) -> None:
    """Scores hold `value` alone; the label is that number, never null."""
    settings = settings_in(tmp_path, task="regression", labels=())
    publish(settings)
    (prediction,) = serving(settings).predict(INSTANCE).json()["predictions"]
    assert list(prediction["scores"]) == ["value"]
    assert prediction["label"] == prediction["scores"]["value"]


def test_a_large_batch_is_answered_like_a_small_one(serving: Callable[..., Service], tmp_path: Path) -> None:
    """What is answered in a thread is the same as what is answered inline."""
    settings = settings_in(tmp_path)
    publish(settings)
    service = serving(settings)
    instances = [{**INSTANCE, "age": age} for age in range(INLINE_ROWS[0] + 1)]
    large = service.predict(*instances).json()["predictions"]
    small = service.predict(*instances[:3]).json()["predictions"]
    assert [p["scores"]["yes"] for p in large[:3]] == pytest.approx([p["scores"]["yes"] for p in small])
    assert len(large) == len(instances)


def test_faults_in_a_large_batch_are_named_too(serving: Callable[..., Service], tmp_path: Path) -> None:
    """A problem found in the thread reaches the client."""
    settings = settings_in(tmp_path)
    publish(settings)
    instances = [INSTANCE] * INLINE_ROWS[0] + [{**INSTANCE, "age": None}]
    problem = problem_of(serving(settings).predict(*instances), 422)
    assert problem["errors"] == [{"pointer": f"/instances/{INLINE_ROWS[0]}/age", "detail": "age is missing"}]


def test_an_unknown_category_is_answered_with_a_warning(serving: Callable[..., Service], tmp_path: Path) -> None:
    """It is data, and the answer says that it was new."""
    settings = settings_in(tmp_path)
    publish(settings)
    first, second = serving(settings).predict(INSTANCE, {**INSTANCE, "city": "Zürich"}).json()["predictions"]
    assert "warnings" not in first
    assert "city has the value 'Zürich'" in second["warnings"][0]


def test_a_missing_nullable_feature_is_fine(serving: Callable[..., Service], tmp_path: Path) -> None:
    """Absent and null mean the same."""
    settings = settings_in(tmp_path)
    publish(settings)
    absent, null = (
        serving(settings)
        .predict({"age": 1, "owner": True}, {**INSTANCE, "age": 1, "income": None, "city": None})
        .json()["predictions"]
    )
    assert absent == null


FAULTS = {
    "absent": ({"owner": True}, "age"),
    "null": ({**INSTANCE, "owner": None}, "owner"),
    "unknown": ({**INSTANCE, "colour": "red"}, "colour"),
    "text for a number": ({**INSTANCE, "age": "41"}, "age"),
    "boolean for a number": ({**INSTANCE, "age": True}, "age"),
    "number for a boolean": ({**INSTANCE, "owner": 1}, "owner"),
    "number for a category": ({**INSTANCE, "city": 5}, "city"),
    "object for a category": ({**INSTANCE, "city": {"name": "Rome"}}, "city"),
    "integer beyond a double": ({**INSTANCE, "income": 10**399}, "income"),
    "half a surrogate pair": ({**INSTANCE, "city": "\ud800"}, "city"),
}


@pytest.mark.parametrize(("instance", "feature"), FAULTS.values(), ids=FAULTS)
def test_a_feature_that_does_not_fit_is_named(ready: Service, instance: dict[str, Any], feature: str) -> None:
    """422, with the pointer to the field."""
    body = json.dumps({"instances": [INSTANCE, instance]}).encode()  # httpx would refuse half a surrogate pair
    problem = problem_of(ready.post(body), 422)
    assert [error["pointer"] for error in problem["errors"]] == [f"/instances/1/{feature}"]


BAD_BODIES = {
    "nothing": (b"", 400, ""),
    "cut off": (b'{"instances": [', 400, ""),
    "not UTF-8": (b'{"instances": ["\xff"]}', 400, ""),
    "nested too deeply": (b"[" * 1_100 + b"]" * 1_100, 400, ""),
    "nested deeply": (b'{"instances": [' + b"[" * 400 + b"]" * 400 + b"]}", 400, ""),
    "nested a little": (b'{"instances": [' + b"[" * 9 + b"]" * 9 + b"]}", 422, "/instances/0"),
    "an array": (b"[]", 422, ""),
    "null": (b"null", 422, ""),
    "a number": (b"9" * 5_000, 422, ""),
    "without instances": (b"{}", 422, "/instances"),
    "with something else": (b'{"instances": [1], "parameters": {}}', 422, "/parameters"),
    "instances as an object": (b'{"instances": {}}', 422, "/instances"),
    "no instances": (b'{"instances": []}', 422, "/instances"),
    "a string for an instance": (b'{"instances": ["x"]}', 422, "/instances/0"),
    "NaN": (b'{"instances": [{"age": NaN, "owner": true}]}', 422, "/instances/0/age"),
    "overflow": (b'{"instances": [{"age": 1e999, "owner": true}]}', 422, "/instances/0/age"),
    "a huge integer": (b'{"instances": [{"age": ' + b"9" * 5_000 + b', "owner": true}]}', 422, "/instances/0/age"),
    "odd names": (b'{"instances": [{"age": 1, "owner": true, "a/~\\ud800": 1}]}', 422, "/instances/0/a~1~0\ud800"),
}


@pytest.mark.parametrize(("body", "status", "pointer"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_the_clients_fault_and_named(ready: Service, body: bytes, status: int, pointer: str) -> None:
    """Whatever the bytes, the answer is a 4xx problem with a pointer, never a 500."""
    problem = problem_of(ready.post(body), status)
    assert problem["errors"][0]["pointer"] == pointer


REPEATED = {
    "a feature": (b'{"instances": [{"age": 1, "owner": true, "age": 2}]}', "/instances/0/age"),
    "its escaped form": (b'{"instances": [{"age": 1, "owner": true, "\\u0061ge": 2}]}', "/instances/0/age"),
    "of the second instance": (
        b'{"instances": [{"age": 1, "owner": true, "city": "a:b"}, {"age": 1, "owner": true, "owner": true}]}',
        "/instances/1/owner",
    ),
    "the list": (b'{"instances": [{"age": 1, "owner": true}], "instances": [{"age": 1, "owner": true}]}', "/instances"),
    "hidden by an escape": (
        b'{"instances": [{"age": 1, "owner": true, "age": 2, "city": "\\u003a"}]}',
        "/instances/0/age",
    ),
}


@pytest.mark.parametrize(("body", "pointer"), REPEATED.values(), ids=REPEATED)
def test_a_key_that_comes_twice_is_named(ready: Service, body: bytes, pointer: str) -> None:
    """Nobody can know which of its values was meant."""
    problem = problem_of(ready.post(body), 422)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_colons_in_texts_are_no_keys(ready: Service) -> None:
    """A category may be a time of day, or an address."""
    instances = [{**INSTANCE, "city": city} for city in ("12:30:00", "http://a:1", "\\:", ":")]
    assert ready.predict(*instances).status_code == 200


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_that_is_not_declared_as_json_is_refused(ready: Service, media_type: str) -> None:
    """A browser can send those to another site without asking; JSON it cannot."""
    response = ready.client.post("/v1/predict", content=b'{"instances": [{}]}', headers={"content-type": media_type})
    problem_of(response, 415)


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"])
def test_json_under_its_other_names_is_taken(ready: Service, media_type: str) -> None:
    """Parameters, case and structured suffixes are no reason to refuse."""
    response = ready.client.post("/v1/predict", content=b'{"instances": [{}]}', headers={"content-type": media_type})
    problem_of(response, 422)


def test_a_declared_body_over_the_limit_is_refused(ready: Service) -> None:
    """By its Content-Length, before it is read; the client hears it though it sends megabytes."""
    assert "20000 bytes" in problem_of(ready.post(b" " * 5_000_000), 413)["detail"]


def test_a_streamed_body_over_the_limit_is_refused(ready: Service) -> None:
    """By its bytes as they come, where no length is declared."""

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    problem_of(ready.post(parts()), 413)


def test_a_streamed_body_under_the_limit_is_answered(ready: Service) -> None:
    """Chunks are no fault in themselves."""
    assert ready.post(iter([b'{"instances": [{"age": 1,', b' "owner": true}]}'])).status_code == 200


def test_too_many_instances_are_refused(ready: Service) -> None:
    """413, however small they are."""
    problem = problem_of(ready.predict(*[{}] * 51), 413)
    assert problem["errors"][0]["pointer"] == "/instances"


def test_without_a_checkpoint_the_client_is_asked_to_come_back(serving: Callable[..., Service]) -> None:
    """503 with Retry-After and the reason."""
    response = serving().predict(INSTANCE)
    assert "no checkpoint has been published yet" in problem_of(response, 503)["detail"]
    assert int(response.headers["retry-after"]) > 0


def test_no_answer_mixes_two_checkpoints(serving: Callable[..., Service], tmp_path: Path) -> None:
    """While the reference is swapped all the time, each answer's scores are those of the checkpoint it names."""
    settings = settings_in(tmp_path)
    publish(settings)
    service = serving(settings)
    models = {}
    for seed in range(3):
        checkpoint = checkpoint_of(settings, f"00000{seed}-00000000", seed=seed)
        model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
        models[checkpoint.manifest.id] = Serving(checkpoint.manifest.id, checkpoint.manifest, model, 0.0)
    expected = {}
    for name, chosen in models.items():
        service.predictor.current = chosen
        expected[name] = service.predict(INSTANCE).json()["predictions"][0]["scores"]["yes"]
    assert len(set(expected.values())) == 3

    def ask(count: int) -> set[tuple[str, float]]:
        answer = service.predict(*[INSTANCE] * count).json()
        return {(answer["checkpoint"]["id"], round(p["scores"]["yes"], 9)) for p in answer["predictions"]}

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, count) for count in (1, 300, 2, 280) * 10]
        swaps(service.predictor, list(models.values()), lambda: all(future.done() for future in asked))
    for future in asked:
        ((name, score),) = future.result()
        assert score == pytest.approx(expected[name], abs=1e-6)


def swaps(predictor: Predictor, models: list[Serving], done: Callable[[], bool]) -> None:
    """Swap what serves, as fast as possible, until done."""
    turn = 0
    while not done():
        turn += 1
        predictor.current = models[turn % len(models)]
