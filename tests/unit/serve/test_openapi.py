"""The description: every status that occurs is in it, and its examples are what the server takes and gives."""

import socket
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.serve.api import KNOWN_ANSWERS
from service.serve.examples import FILLER
from service.serve.openapi import ANY_PATH
from service.serve.problems import MEDIA_TYPE
from service.settings import Settings
from service.store.manifest import Manifest
from tests.unit.serve.builders import publish, settings_in
from tests.unit.serve.running import Service, running

TOKEN = "a-token-of-this-test-alone"  # noqa: S105 - lets nobody in
NO_MODEL_NEEDED = ("/healthz", "/metrics", "/v1/events", "/v1/status", "/v1/checkpoints", "/v1/history")

Way = tuple[str, str, dict[str, Any]]


def ways(form: dict[str, Any]) -> list[Way]:
    """Return path, method and description of every operation."""
    return [(path, method, way) for path, methods in form["paths"].items() for method, way in methods.items()]


def media_of(way: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield media type and description of what an operation takes and gives."""
    for part in (way.get("requestBody", {}), *way["responses"].values()):
        yield from part.get("content", {}).items()


def description(service: Service) -> dict[str, Any]:
    """Return a server's description."""
    form: dict[str, Any] = service.client.get("/openapi.json").json()
    return form


def test_every_status_that_occurs_is_described(ready: Service) -> None:
    """Each route's own, and on every path what is answered before a route is known."""
    form = description(ready)
    listed = {(path, int(status)) for path, _, way in ways(form) for status in way["responses"]}
    described = set(form["paths"])
    assert listed == {answer for answer in KNOWN_ANSWERS if answer[0] in described} | {
        (path, int(status)) for path in described for status in ANY_PATH
    }
    hidden = {
        "unknown",
        "/",
        "/page/{name}",
        "/docs",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/openapi.json",
    }
    assert {path for path, _ in KNOWN_ANSWERS} - described == hidden
    for _, _, way in ways(form):
        assert {str(int(status)) for status in ANY_PATH} <= set(way["responses"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v1/status HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/status?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 9_000), 414),
        (b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"x" * 20_000), 431),
        (b"GET /v1/status HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    ],
)
def test_what_is_refused_before_a_route_is_known_is_described(ready: Service, sent: bytes, status: int) -> None:
    """Of the request that is no HTTP, too long, or of another version; what costs time to see is tested elsewhere."""
    base = ready.client.base_url
    with socket.create_connection((base.host, base.port), timeout=30) as peer:
        peer.sendall(sent)
        assert peer.recv(65_536).startswith(b"HTTP/1.1 %d " % status)
    assert status in ANY_PATH


def test_what_is_wrong_has_one_form_and_the_headers_that_come_with_it(ready: Service) -> None:
    """Problem details, beside the protocol's own; a 503 says when to come back, a 401 what to send."""
    for path, _, way in ways(description(ready)):
        for status, response in way["responses"].items():
            if int(status) >= 400:
                kinds = {MEDIA_TYPE} if int(status) in ANY_PATH or not path.startswith("/v2") else set()
                own = {"application/json"} if path.startswith("/v2") and int(status) != 505 else set()
                assert set(response["content"]) == kinds | own, (path, status)
            assert "X-Request-ID" in response["headers"]
            assert ("Retry-After" in response["headers"]) == (status == "503")
            assert ("WWW-Authenticate" in response["headers"]) == (status == "401")


@pytest.mark.parametrize(
    ("task", "labels"), [("binary", ()), ("binary", ("no", "yes")), ("multiclass", ("c", "b", "a")), ("regression", ())]
)
def test_every_example_fits_its_schema(tmp_path: Path, task: str, labels: tuple[str, ...]) -> None:
    """Of parameters, requests and answers; of a problem, its status is the one under which it stands."""
    with running(settings_in(tmp_path, task=task, labels=labels)) as service:
        form = description(service)
    for path, method, way in ways(form):
        described = [(kind, media) for kind, media in media_of(way) if "schema" in media]
        assert described, (path, method)
        for kind, media in [*described, *(("parameter", one) for one in way.get("parameters", []))]:
            schema = {**media["schema"], "components": form["components"]}
            examples = [one["value"] for one in media.get("examples", {}).values()] or [media["example"]]
            for example in examples:
                jsonschema_rs.validator_for(schema).validate(example)
                assert f"'{FILLER}'" not in str([example]), (path, method, kind, "an example that nobody wrote")
        for status, response in way["responses"].items():
            problem = response.get("content", {}).get(MEDIA_TYPE)
            assert problem is None or problem["example"]["status"] == int(status)


def test_the_example_of_a_manifest_is_one(ready: Service) -> None:
    """The store itself would take it."""
    example = deepcopy(description(ready)["components"]["schemas"]["Manifest"]["example"])
    assert Manifest.parse(example, "the example").model_dump(mode="json", exclude_unset=True) == example


@pytest.fixture
def admitted(tmp_path: Path) -> tuple[Settings, dict[str, str]]:
    """Return settings with a token of role admin, and the header that carries it."""
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"docs:admin:{TOKEN}\n")
    return settings_in(tmp_path, tokens_file=str(tokens)), {"authorization": f"Bearer {TOKEN}"}


def test_every_request_in_the_description_works_as_it_stands(admitted: tuple[Settings, dict[str, str]]) -> None:
    """What /docs offers to try is answered with a status below 300 that is described; only the id is a real one."""
    settings, headers = admitted
    real_id = publish(settings)
    with running(settings) as service:
        for path, method, way in ways(description(service)):
            parameters = {one["name"]: one for one in way.get("parameters", [])}
            filled, query = path, {}
            for name, one in parameters.items():
                if one["in"] == "path":
                    value = real_id if name in {"id", "version"} else one["example"]
                    filled = filled.replace(f"{{{name}}}", str(value))
                elif one["in"] == "query":
                    query[name] = one["example"]
            content = way.get("requestBody", {}).get("content", {}).get("application/json")
            body = deepcopy(content["example"]) if content else None
            if path == "/v1/pin" and body:
                body["id"] = real_id
            response = service.client.request(method, filled, params=query, json=body, headers=headers)
            assert response.status_code < 300, (method, filled, response.text)
            kind = response.headers["content-type"].partition(";")[0]
            described = way["responses"][str(response.status_code)]["content"]
            assert kind in described, (method, filled)
            if kind == "application/json":
                schema = {**described[kind]["schema"], "components": description(service)["components"]}
                jsonschema_rs.validator_for(schema).validate(response.json())
