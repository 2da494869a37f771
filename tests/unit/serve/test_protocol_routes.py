"""The protocol's routes over real HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest

from service import __version__
from service.observer import Observer
from service.serve.api import create_app
from service.serve.predictor import Predictor
from service.serve.protocol.infer import INLINE_BYTES
from service.serve.protocol.request import HEADER_LENGTH
from tests.unit.serve.builders import TRAINED_UNTIL, answering, store_of
from tests.unit.serve.inference import (
    CHECKPOINT,
    FULL,
    NUMBERS,
    asking,
    error_of,
    framed,
    full_inputs,
    infer,
    model_of,
    settings_of,
    tensor,
)
from tests.unit.serve.running import KeepingDesk

INFER = "/v2/models/freshet/infer"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of a server whose model has a feature of each kind."""
    settings = settings_of(tmp_path_factory.mktemp("full"), FULL, max_body_bytes=2**20, max_instances=3_000)
    with asking(settings, model_of(FULL)) as asked:
        yield asked


def test_the_server_tells_what_it_is(client: httpx.Client) -> None:
    """And which extensions it has."""
    assert client.get("/v2").json() == {
        "name": "freshet",
        "version": __version__,
        "extensions": ["binary_tensor_data", "classification"],
    }
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


def test_the_model_tells_its_inputs_and_outputs(client: httpx.Client) -> None:
    """With and without the version; the labels in the order of the probabilities."""
    said = client.get("/v2/models/freshet").json()
    assert said == client.get(f"/v2/models/freshet/versions/{CHECKPOINT}").json()
    nullable = {"nullable": True}
    assert said["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [-1], "parameters": {}},
        {"name": "income", "datatype": "FP64", "shape": [-1], "parameters": nullable},
        {"name": "owner", "datatype": "BOOL", "shape": [-1], "parameters": {}},
        {"name": "place", "datatype": "FP64", "shape": [-1, 2], "parameters": nullable},
        {"name": "city", "datatype": "BYTES", "shape": [-1], "parameters": nullable},
    ]
    assert said["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1], "parameters": {}},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2], "parameters": {}},
    ]
    assert (said["name"], said["versions"], said["platform"]) == ("freshet", [CHECKPOINT], "freshet")
    assert said["parameters"] == {"trained_until": TRAINED_UNTIL, "labels": '["no","yes"]'}


def test_a_model_of_numbers_tells_of_its_packed_input(tmp_path: Path) -> None:
    """Which answers as the named inputs do; a regression has neither labels nor probabilities."""
    settings = settings_of(tmp_path, NUMBERS, task="regression")
    with asking(settings, model_of(NUMBERS, task="regression")) as client:
        said = client.get("/v2/models/freshet").json()
        assert said["parameters"] == {
            "trained_until": TRAINED_UNTIL,
            "packed_input": "features",
            "packed_datatype": "FP32",
            "packed_width": 5,
        }
        assert [one["name"] for one in said["outputs"]] == ["value"]
        named = infer(client, {"inputs": full_inputs()[:4]}).json()
        packed = np.array([[41, 1200.5, 1, 0.5, -0.5]], dtype=np.float32)
        request = {"inputs": [tensor("features", "FP32", [], [1, 5])]}
        assert infer(client, request, {"features": packed.tobytes()}).json() == named
        assert named["outputs"][0]["shape"] == [1]


def test_only_the_serving_version_of_the_one_model_is_there(client: httpx.Client) -> None:
    """404 says which there is, on every route; none is loaded for the asking."""
    for end, method in (("", "GET"), ("/ready", "GET"), ("/infer", "POST")):
        said = {} if method == "GET" else {"json": {"inputs": full_inputs()}}
        assert client.request(method, f"/v2/models/freshet/versions/{CHECKPOINT}{end}", **said).status_code == 200
        response = client.request(method, f"/v2/models/freshet/versions/000001-00000000{end}", **said)
        assert error_of(response, 404).startswith(f"version '000001-00000000' does not serve; '{CHECKPOINT}' does")
        response = client.request(method, f"/v2/models/other{end}", **said)
        assert error_of(response, 404) == "there is no model 'other' here; this server has 'freshet'"


def test_before_there_is_a_checkpoint_clients_are_asked_to_come_back(tmp_path: Path) -> None:
    """503 with Retry-After; the server lives and tells what it is."""
    with asking(settings_of(tmp_path, FULL), None) as client:
        assert client.get("/v2").status_code == client.get("/v2/health/live").status_code == 200
        for path in ("/v2/health/ready", "/v2/models/freshet", "/v2/models/freshet/ready"):
            response = client.get(path)
            assert "no checkpoint" in error_of(response, 503)
            assert int(response.headers["retry-after"]) > 0
        response = infer(client, {"inputs": full_inputs()})
        assert "no checkpoint" in error_of(response, 503)
        assert response.headers["retry-after"]


def test_health_is_what_the_probes_say(tmp_path: Path) -> None:
    """Live and ready have the same reasons as /healthz and /readyz."""
    settings, observer = settings_of(tmp_path, FULL), Observer()
    app = create_app(
        settings,
        Predictor(),
        store_of(settings),
        KeepingDesk(),
        observer,
        ready=lambda: "the server stops",
        alive=lambda: "the watcher ended",
    )
    with answering(app) as client:
        assert error_of(client.get("/v2/health/live"), 503) == "the watcher ended"
        assert error_of(client.get("/v2/health/ready"), 503) == "the server stops"


def test_both_ways_of_asking_give_equal_scores(client: httpx.Client) -> None:
    """POST /v1/predict and the protocol, in JSON and in bytes; also for what is missing or unknown."""
    instances = [
        {"age": 41, "income": 1200.5, "owner": True, "place": [0.5, -0.5], "city": "Rome"},
        {"age": -3.25, "income": None, "owner": False, "place": None, "city": None},
        {"age": 1e9, "income": 0.1, "owner": True, "place": [3, 4], "city": "Bonn"},
    ]
    answer = client.post("/v1/predict", json={"instances": instances}).json()
    columns = {name: [one[name] for one in instances] for name in instances[0]}
    inputs = [
        tensor("age", "FP64", columns["age"]),
        tensor("income", "FP64", columns["income"]),
        tensor("owner", "BOOL", columns["owner"]),
        tensor("place", "FP64", columns["place"], [3, 2]),
        tensor("city", "BYTES", columns["city"]),
    ]
    blobs = {
        "age": np.array(columns["age"], dtype="<f8").tobytes(),
        "income": np.array([1200.5, np.nan, 0.1]).tobytes(),
        "owner": b"\1\0\1",
        "place": np.array([[0.5, -0.5], [np.nan, np.nan], [3, 4]]).tobytes(),
        "city": framed(b"Rome", b"", b"Bonn"),
    }
    for response in (infer(client, {"inputs": inputs}), infer(client, {"inputs": inputs}, blobs)):
        said = response.json()
        label, probabilities = said["outputs"]
        assert label["data"] == [one["label"] for one in answer["predictions"]]
        assert probabilities["data"] == [score for one in answer["predictions"] for score in one["scores"].values()]
        assert said["model_version"] == answer["checkpoint"]["id"]
        assert said["parameters"]["trained_until"] == answer["checkpoint"]["trained_until"]
        assert "row 2: 'Bonn'" in said["parameters"]["warnings"]


def test_answers_may_come_in_bytes(client: httpx.Client) -> None:
    """The header tells where the JSON ends."""
    response = infer(client, {"id": "7", "inputs": full_inputs(2), "parameters": {"binary_data_output": True}})
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[HEADER_LENGTH])
    said, rest = json.loads(response.content[:length]), response.content[length:]
    sizes = [one["parameters"]["binary_data_size"] for one in said["outputs"]]
    assert sum(sizes) == len(rest)
    plain = infer(client, {"id": "7", "inputs": full_inputs(2)})
    assert HEADER_LENGTH not in plain.headers
    assert np.frombuffer(rest[sizes[0] :]).tolist() == plain.json()["outputs"][1]["data"]


def test_large_requests_are_answered_like_small_ones(client: httpx.Client) -> None:
    """Beyond what is read on the event loop, in JSON and in bytes."""
    rows = 3_000
    request = {"inputs": full_inputs(rows)}
    assert len(json.dumps(request)) > INLINE_BYTES
    one = infer(client, {"inputs": full_inputs()}).json()["outputs"][1]["data"]
    said = infer(client, request).json()["outputs"][1]
    np.testing.assert_allclose(np.reshape(said["data"], (rows, 2)), [one] * rows, atol=1e-6)
    raw = infer(client, request, {"age": np.full(rows, 41.0).tobytes()})
    assert raw.json()["outputs"][1] == said


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "application/octet-stream", "application/JSON; a=b"]
)
def test_a_body_may_be_declared_as_clients_do(client: httpx.Client, content_type: str | None) -> None:
    """Those of Triton and KServe send JSON without a type."""
    headers = {} if content_type is None else {"content-type": content_type}
    content = json.dumps({"inputs": full_inputs()}).encode()
    assert client.post(INFER, content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("schema", [FULL, NUMBERS, {"vector": {"one": 1}, "nullable": ["one"]}])
def test_the_described_example_is_answered_as_described(tmp_path: Path, schema: dict[str, Any]) -> None:
    """For features of any kind; the answer has the form that OpenAPI shows."""
    with asking(settings_of(tmp_path, schema), model_of(schema)) as client:
        form = client.get("/openapi.json").json()
        way = form["paths"]["/v2/models/{name}/infer"]["post"]
        media = way["requestBody"]["content"]["application/json"]
        jsonschema_rs.validator_for({**media["schema"], "components": form["components"]}).validate(media["example"])
        response = client.post(INFER, json=media["example"])
        assert response.status_code == 200
        answer = way["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validator_for({**answer, "components": form["components"]}).validate(response.json())
