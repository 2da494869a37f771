"""The clients of others against a real server: Triton's own, unchanged, and the calls that KServe's makes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.unit.serve.builders import INSTANCE, publish, settings_in
from tests.unit.serve.running import served, serving_id, wait_for_id

AGES = np.array([41.0, -3.25, 1e9])
INCOMES = np.array([1200.5, np.nan, 0.5])
OWNERS = np.array([True, False, True])
CITIES = np.array(["Rome", "Oslo", "Bonn"], dtype=np.object_)
INSTANCES = [
    {**INSTANCE, "age": 41, "income": 1200.5, "owner": True, "city": "Rome"},
    {**INSTANCE, "age": -3.25, "income": None, "owner": False, "city": "Oslo"},
    {**INSTANCE, "age": 1e9, "income": 0.5, "owner": True, "city": "Bonn"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Run the whole server with a checkpoint; yield a plain client of it."""
    settings = settings_in(tmp_path_factory.mktemp("server"))
    checkpoint_id = publish(settings)
    with served(settings) as client:
        wait_for_id(client, checkpoint_id)
        yield client


@contextmanager
def asking(server: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    """Yield Triton's client of a server."""
    with triton.InferenceServerClient(f"{server.base_url.host}:{server.base_url.port}") as client:
        yield client


@pytest.fixture
def client(server: httpx.Client) -> Iterator[triton.InferenceServerClient]:
    """Return Triton's client of the server."""
    with asking(server) as made:
        yield made


def tensor(name: str, values: NDArray[Any], datatype: str, *, binary: bool = True) -> triton.InferInput:
    """Return an input of Triton's client."""
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def inputs(number: type[np.floating[Any]] = np.float64, *, binary: bool = True) -> list[triton.InferInput]:
    """Return an input for each feature, numbers in a type of one's choice."""
    datatype = {np.float16: "FP16", np.float32: "FP32", np.float64: "FP64"}[number]
    ages = np.minimum(AGES, 6e4) if number is np.float16 else AGES
    return [
        tensor("age", ages.astype(number), datatype, binary=binary),
        tensor("income", INCOMES.astype(number), datatype, binary=binary),
        tensor("owner", OWNERS, "BOOL", binary=binary),
        tensor("city", CITIES, "BYTES", binary=binary),
    ]


def scores(server: httpx.Client) -> NDArray[np.float64]:
    """Return what POST /v1/predict says of the same instances."""
    answer = server.post("/v1/predict", json={"instances": INSTANCES}).json()
    return np.array([list(one["scores"].values()) for one in answer["predictions"]])


def test_health_and_metadata(server: httpx.Client, client: triton.InferenceServerClient) -> None:
    """All that Triton's client asks before it infers."""
    version = serving_id(server)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("freshet")
    assert client.is_model_ready("freshet", version)
    assert not client.is_model_ready("freshet", "000001-00000000")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("freshet", version)
    assert [(one["name"], one["datatype"]) for one in metadata["inputs"]] == [
        ("age", "FP64"),
        ("income", "FP64"),
        ("owner", "BOOL"),
        ("city", "BYTES"),
    ]
    assert metadata["versions"] == [version]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("wanted_binary", [True, False, None])
def test_doubles_booleans_and_texts_get_the_scores_of_post_v1_predict(
    server: httpx.Client, client: triton.InferenceServerClient, binary: bool, wanted_binary: bool | None
) -> None:
    """In bytes and in JSON, both ways; NaN is what is missing, also in JSON."""
    names = ("label", "probabilities")
    outputs = wanted_binary is not None and [triton.InferRequestedOutput(name, wanted_binary) for name in names]
    result = client.infer("freshet", inputs(binary=binary), outputs=outputs or None, request_id="r1")
    expected = scores(server)
    np.testing.assert_array_equal(result.as_numpy("probabilities"), expected)
    labels = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
    assert labels == [("no", "yes")[index] for index in expected.argmax(axis=1)]
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r1", "freshet", serving_id(server))
    assert "row 2: 'Bonn'" in response["parameters"]["warnings"]
    assert json.loads(result.get_output("probabilities")["parameters"]["labels"]) == ["no", "yes"]


@pytest.mark.parametrize("number", [np.float16, np.float32])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_shorter_numbers_are_taken(
    server: httpx.Client, client: triton.InferenceServerClient, number: Any, binary: bool
) -> None:
    """Where they hold the same values, the scores are the same."""
    result = client.infer("freshet", inputs(number, binary=binary))
    np.testing.assert_allclose(result.as_numpy("probabilities")[1], scores(server)[1])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(
    server: httpx.Client, client: triton.InferenceServerClient, algorithm: str
) -> None:
    """Answers are not compressed, which the client takes as well."""
    compression = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    result = client.infer("freshet", inputs(), model_version=serving_id(server), **compression)
    np.testing.assert_array_equal(result.as_numpy("probabilities"), scores(server))


def test_the_likeliest_classes(server: httpx.Client, client: triton.InferenceServerClient) -> None:
    """The classification extension, in bytes and in JSON."""
    best = scores(server).argmax(axis=1)
    for binary in (True, False):
        wanted = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=1)
        found = client.infer("freshet", inputs(), outputs=[wanted]).as_numpy("probabilities")
        texts = [one.decode() if isinstance(one, bytes) else one for one in found[:, 0]]
        assert [text.partition(":")[2] for text in texts] == [f"{index}:{('no', 'yes')[index]}" for index in best]


def test_several_may_be_under_way(server: httpx.Client) -> None:
    """As Triton's client has it: greenlets over several connections."""
    address = f"{server.base_url.host}:{server.base_url.port}"
    with triton.InferenceServerClient(address, concurrency=4) as client:
        asked = [client.async_infer("freshet", inputs()) for _ in range(20)]
        for one in asked:
            np.testing.assert_array_equal(one.get_result().as_numpy("probabilities"), scores(server))


@pytest.mark.parametrize(
    ("ask", "status", "said"),
    [
        (lambda client: client.infer("freshet", inputs()[1:]), "400", "input 'age' is missing"),
        (lambda client: client.infer("freshet", [*inputs(), inputs()[0]]), "400", "input 'age' stands more than once"),
        (
            lambda client: client.infer("freshet", [*inputs()[:3], tensor("city", AGES, "FP64")]),
            "400",
            "input 'city' must be sent as BYTES, not FP64",
        ),
        (lambda client: client.infer("other", inputs()), "404", "there is no model 'other' here"),
        (lambda client: client.infer("freshet", inputs(), "7"), "404", "version '7' does not serve"),
        (lambda client: client.get_model_config("freshet"), "404", "there is nothing at /v2/models/freshet/config"),
        (lambda client: client.get_model_repository_index(), "404", "there is nothing at /v2/repository/index"),
        (
            lambda client: client.infer(
                "freshet", inputs(), outputs=[triton.InferRequestedOutput("probability", binary_data=True)]
            ),
            "400",
            "output 'probability' is not known",
        ),
    ],
)
def test_errors_reach_the_client_in_words(
    client: triton.InferenceServerClient, ask: Callable[[Any], object], status: str, said: str
) -> None:
    """As its own exception, with our message and status."""
    with pytest.raises(InferenceServerException) as caught:
        ask(client)
    assert caught.value.status() == status
    assert said in caught.value.message()


def test_shared_memory_is_refused(client: triton.InferenceServerClient) -> None:
    """In words, for inputs and outputs."""
    shared = triton.InferInput("age", [3], "FP64")
    shared.set_shared_memory("region", 24)
    with pytest.raises(InferenceServerException, match="input 'age': shared memory is not supported here"):
        client.infer("freshet", [shared, *inputs()[1:]])


def test_before_a_checkpoint_the_client_is_told(tmp_path: Path) -> None:
    """It lives, is not ready, and says so; then it is, without a restart."""
    settings = settings_in(tmp_path)
    with served(settings) as server, asking(server) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready("freshet")
        with pytest.raises(InferenceServerException, match="there is no model yet"):
            client.infer("freshet", inputs())
        wait_for_id(server, publish(settings))
        assert client.is_model_ready("freshet")
        first = client.infer("freshet", inputs())
        wait_for_id(server, publish(settings, seed=1))
        second = client.infer("freshet", inputs())
        assert second.get_response()["model_version"] == serving_id(server)
        assert (first.as_numpy("probabilities") != second.as_numpy("probabilities")).any()


def test_kserve_s_client_gets_what_it_expects(server: httpx.Client) -> None:
    """Its calls by httpx: health as JSON flags, JSON without a type, bytes with the two headers; errors as JSON."""
    for path, flag in (("v2/health/live", "live"), ("v2/health/ready", "ready"), ("v2/models/freshet/ready", "ready")):
        response = server.get(path)
        assert response.is_success
        assert response.json().get(flag) is True
    plain = {
        "id": "5f3c",
        "model_name": "freshet",
        "inputs": [
            {"name": "age", "shape": [3, 1], "datatype": "FP64", "data": [[age] for age in AGES.tolist()]},
            {"name": "owner", "shape": [3], "datatype": "BOOL", "data": OWNERS.tolist()},
            {"name": "city", "shape": [3], "datatype": "BYTES", "data": list(CITIES)},
            {"name": "income", "shape": [3], "datatype": "FP64", "data": [1200.5, None, 0.5]},
        ],
    }
    expected = scores(server)
    answer = server.post("v2/models/freshet/infer", content=json.dumps(plain).encode()).json()
    assert answer["id"] == "5f3c"
    assert answer["model_name"] == "freshet"
    np.testing.assert_array_equal(
        np.array(answer["outputs"][1]["data"]).reshape(answer["outputs"][1]["shape"]), expected
    )

    plain["inputs"][3] = {
        "name": "income",
        "shape": [3],
        "datatype": "FP64",
        "parameters": {"binary_data_size": 24},
    }
    plain["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    text = json.dumps(plain).encode()
    headers = {"inference-header-content-length": str(len(text)), "content-type": "application/octet-stream"}
    response = server.post("v2/models/freshet/infer", content=text + INCOMES.tobytes(), headers=headers)
    length = int(response.headers["inference-header-content-length"])
    assert json.loads(response.content[:length])["outputs"][0]["parameters"]["binary_data_size"] == expected.nbytes
    np.testing.assert_array_equal(np.frombuffer(response.content[length:]).reshape(expected.shape), expected)

    response = server.post("v2/models/freshet/infer", content=b"{}")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"] == "inputs must be an array of objects"


def test_a_body_cut_short_is_refused_by_the_input_that_misses_it(server: httpx.Client) -> None:
    """What Triton's client would have sent, without its last bytes."""
    body, length = triton.InferenceServerClient.generate_request_body(inputs())
    headers = {"inference-header-content-length": str(length)}
    for lost, name in ((1, "city"), (30, "income"), (60, "age")):
        response = server.post("/v2/models/freshet/infer", content=body[:-lost], headers=headers)
        assert response.status_code == 400
        assert response.json()["error"].startswith(f"input {name!r} has binary_data_size 24, but ")
    assert server.post("/v2/models/freshet/infer", content=body, headers=headers).status_code == 200
