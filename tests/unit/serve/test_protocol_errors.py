"""What the protocol says where something is wrong, over real HTTP."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.records import FloatArray, IntArray
from service.serve.api import KNOWN_ANSWERS
from service.serve.protocol.request import HEADER_LENGTH
from tests.unit.serve.builders import problem_of
from tests.unit.serve.dialling import until_closed
from tests.unit.serve.inference import FULL, asking, error_of, full_inputs, infer, model_of, settings_of, tensor

INFER = "/v2/models/freshet/infer"
WIDE = tensor("age", "FP64", [1, 2, 3], [1, 3])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of a server whose model has a feature of each kind."""
    settings = settings_of(tmp_path_factory.mktemp("full"), FULL, max_body_bytes=2**20, max_instances=3_000)
    with asking(settings, model_of(FULL)) as asked:
        yield asked


@pytest.mark.parametrize(
    ("status", "said", "request_"),
    [
        (400, "not JSON", {"content": b"{"}),
        (400, "input 'age' has shape [1, 3]", {"json": {"inputs": [WIDE, *full_inputs()[1:]]}}),
        (400, "must be one number of bytes", {"content": b"{}", "headers": {HEADER_LENGTH: "many"}}),
        (400, "is 3, but the body has 2 bytes", {"content": b"{}", "headers": {HEADER_LENGTH: "3"}}),
        (400, "cannot be read as that", {"content": b"{}", "headers": {"content-encoding": "gzip"}}),
        (413, "has 3001 rows, but at most 3000", {"json": {"inputs": full_inputs(3_001)}}),
        (413, "larger than 1048576 bytes", {"content": b" " * (2**20 + 1)}),
        (415, "'br' is not known here", {"content": b"{}", "headers": {"content-encoding": "br"}}),
        (
            415,
            "text/plain; send it with Content-Type: application/json or application/octet-stream",
            {"content": b"{}", "headers": {"content-type": "text/plain"}},
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_protocol_s_form(
    client: httpx.Client, status: int, said: str, request_: dict[str, Any]
) -> None:
    """An error and nothing else; the status is one that is documented."""
    assert said in error_of(client.post(INFER, **request_), status)
    assert ("/v2/models/{name}/infer", status) in KNOWN_ANSWERS


def test_rows_without_a_finite_answer_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """400, where the model's own arithmetic overflows."""
    model = model_of(FULL)
    predict = model.predict

    def overflowing(numbers: FloatArray, codes: IntArray) -> FloatArray:
        return np.where(numbers[:, :1] > 100, np.inf, predict(numbers, codes))

    monkeypatch.setattr(model, "predict", overflowing)
    inputs = [tensor("age", "FP64", [41, 101, 41, 102]), *full_inputs(4)[1:]]
    with asking(settings_of(tmp_path, FULL), model) as client:
        said = error_of(infer(client, {"inputs": inputs}), 400)
    assert said == "the model has no finite answer for these values (row 1, 3)"


def test_errors_outside_the_routes_have_the_protocol_s_form_under_its_path_alone(client: httpx.Client) -> None:
    """Unknown paths, wrong methods, too long targets; with the headers that such answers have."""
    assert "there is nothing at /v2/repository/index" in error_of(client.post("/v2/repository/index"), 404)
    response = client.get(INFER)
    assert "does not answer GET" in error_of(response, 405)
    assert response.headers["allow"] == "POST"
    assert "8192 bytes" in error_of(client.get(f"/v2/{'x' * 8_192}"), 414)
    assert error_of(client.get("/v2/nope", headers={"x-request-id": "mine"}), 404)
    assert client.get("/v2/nope", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"
    problem_of(client.get("/v2x"), 404)
    problem_of(client.get("/nope"), 404)


def test_a_fault_of_ours_is_a_500_in_the_protocol_s_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says under which id it is logged, and no more."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("service.serve.protocol.infer.answer_of", fail)
    with asking(settings_of(tmp_path, FULL), model_of(FULL)) as client:
        said = error_of(infer(client, {"inputs": full_inputs()}), 500)
    assert said.startswith("an error on our side, logged as request ")
    assert "secret" not in said


def test_other_requests_are_answered_beside_bad_ones(client: httpx.Client) -> None:
    """On one connection, in turn."""
    for _ in range(3):
        assert infer(client, {"inputs": full_inputs()}, {"age": b"\0"}).status_code == 400
        assert infer(client, {"inputs": full_inputs()}).status_code == 200


def test_a_body_that_does_not_arrive_is_a_408_while_others_are_answered(tmp_path: Path) -> None:
    """With the reason, and the connection is closed."""
    with asking(settings_of(tmp_path, FULL, body_seconds=0.3), model_of(FULL)) as client:
        head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as slow:
            slow.sendall(head + b"{")
            assert infer(client, {"inputs": full_inputs()}).status_code == 200
            found = until_closed(slow)
    assert found.startswith(b"HTTP/1.1 408 ")
    assert found.endswith(b'{"error": "the body did not arrive within 0.3 s; send it faster, or in parts"}')


def test_more_requests_than_are_taken_at_once_are_asked_to_come_back(tmp_path: Path) -> None:
    """503 with Retry-After while the places are taken; once one is free, the next is answered."""
    with asking(settings_of(tmp_path, FULL, max_in_flight=1), model_of(FULL)) as client:
        head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as slow:
            slow.sendall(head)
            while (response := infer(client, {"inputs": full_inputs()})).status_code == 200:
                pass  # until the slow one has arrived
            assert "serve.max_in_flight" in error_of(response, 503)
            assert int(response.headers["retry-after"]) > 0
        while infer(client, {"inputs": full_inputs()}).status_code == 503:
            pass  # until its end is noticed
        assert infer(client, {"inputs": full_inputs()}).status_code == 200
