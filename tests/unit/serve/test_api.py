"""The application as a whole: unknown paths, its description, and that inputs are never our fault."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.observer import Observer
from service.serve.middleware import Watched
from service.serve.problems import install_problems
from tests.unit.serve.builders import INSTANCE, answering, problem_of, publish, settings_in
from tests.unit.serve.running import Service


def test_an_unknown_path_is_a_problem(ready: Service) -> None:
    """404, also with a slash too many."""
    for path in ("/nope", "/v1/predict/", "/v3", "/v1/checkpoints/a/b"):
        assert path in problem_of(ready.client.get(path), 404)["detail"]


def test_a_wrong_method_is_a_problem_that_tells_the_right_one(ready: Service) -> None:
    """405 with Allow."""
    response = ready.client.get("/v1/predict")
    problem_of(response, 405)
    assert response.headers["allow"] == "POST"
    problem_of(ready.client.delete("/v1/status"), 405)
    assert ready.client.get("/v1/pin").headers["allow"] == "DELETE, POST"
    problem_of(ready.client.post("/readyz"), 405)
    problem_of(ready.client.request("BREW", "/v1/status"), 400)  # no method of HTTP


@pytest.mark.parametrize("host", ["[", "a b", "\xe9", "x" * 3_000, "a:b:c"])
def test_an_odd_host_name_breaks_nothing(ready: Service, host: str) -> None:
    """The name under which a client came is only ever text."""
    for path in ("/v1/status", "/nope"):
        assert ready.client.get(path, headers={"host": host.encode("latin-1")}).status_code in {200, 400, 404}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.sampled_from(["instances", *INSTANCE, "x"]), inner, max_size=5)
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps({"instances": [value, INSTANCE]}).encode()),
    )
)
def test_no_body_is_our_fault(ready: Service, body: bytes) -> None:
    """Whatever is posted, the answer is 200 or a 4xx problem."""
    response = ready.post(body)
    if response.status_code != 200:
        assert 400 <= response.status_code < 500
        problem_of(response, response.status_code)


def test_the_description_is_whole(ready: Service) -> None:
    """Every reference in it leads somewhere, and requests are described by the configured features."""
    text = ready.client.get("/openapi.json").text
    form = json.loads(text)
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in form["components"]["schemas"]
    body = form["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]["instances"]["items"]["properties"]) == set(INSTANCE)
    assert body["properties"]["instances"]["items"]["required"] == ["age", "owner"]


class Counting(Observer):
    """Keeps routes and statuses, and how many requests are open."""

    def __init__(self) -> None:
        self.open = 0
        self.ended: list[tuple[str, int]] = []

    def request_began(self) -> None:
        """Count it."""
        self.open += 1

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        """Keep it."""
        assert seconds >= 0
        self.open -= 1
        self.ended.append((route, status))


def test_a_fault_of_ours_is_a_500_with_a_number_and_without_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """The client gets a request id, the log the same id and the whole story, the metrics the status."""
    observer = Counting()
    app = FastAPI()
    install_problems(app)
    app.add_middleware(Watched, observer=observer)

    @app.get("/broken/{name}")
    def broken(name: str) -> None:
        raise RuntimeError(f"secret of {name}")

    with answering(app) as client:
        problem = problem_of(client.get("/broken/a"), 500)
        problem_of(client.get("/absent"), 404)
    assert "secret" not in json.dumps(problem)
    logged = capsys.readouterr().out
    assert problem["request_id"] in logged
    assert "secret of a" in logged
    assert observer.ended == [("/broken/{name}", 500), ("unknown", 404)]
    assert observer.open == 0


def test_the_frameworks_own_validation_is_a_problem_too() -> None:
    """A parameter that FastAPI itself refuses is named like any other field."""
    app = FastAPI()
    install_problems(app)

    @app.get("/number")
    def number(n: int) -> int:
        return n

    with answering(app) as client:
        assert problem_of(client.get("/number?n=x"), 422)["errors"][0]["pointer"] == "/query/n"


def test_requests_are_counted_by_route_and_status(serving: Callable[..., Service], tmp_path: Path) -> None:
    """By the route's template, so that ids do not make series; what has no route is `unknown`."""
    chosen = settings_in(tmp_path)
    publish(chosen)
    ready = serving(chosen)
    ready.predict(INSTANCE)
    ready.predict({})
    ready.client.get("/v1/checkpoints/nope")
    ready.client.get("/nope")
    ready.client.get("/metrics/nope")
    for path in ("/metrics", "/healthz", "/readyz", "/docs", "/openapi.json"):
        assert ready.client.get(path).status_code == 200
    ready.client.post("/readyz")
    text = ready.client.get("/metrics").text
    for route, status, count in (
        ("/v1/predict", 200, 1),
        ("/v1/predict", 422, 1),
        ("/v1/checkpoints/{id}", 404, 1),
        ("/metrics", 200, 1),
        ("/healthz", 200, 1),
        ("/readyz", 200, 1),
        ("/readyz", 405, 1),
        ("/docs", 200, 1),
        ("/openapi.json", 200, 1),
        ("unknown", 404, 2),
    ):
        assert f'freshet_request_duration_seconds_count{{route="{route}",status="{status}"}} {count}.0' in text
    assert 'route="unknown",status="200"' not in text
    assert "freshet_requests_in_flight 1.0" in text
