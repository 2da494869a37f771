"""Who is let in: 401, 403 or through, for every state of tokens, roles and whereabouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

from service.serve.access import require_role
from service.serve.problems import install_problems
from service.serve.tokens import Holder, Tokens
from tests.unit.serve.builders import answering, problem_of, settings_in
from tests.unit.serve.running import Service

EVENTS, ADMIN = "events-token-0123456789", "admin-token-0123456789"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a server that others can reach
BODY = {"events": [{}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of tokens."""
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(f"feeder:events:{EVENTS}\nops:admin:{ADMIN}\n")
    return path


def guarded(tokens: Tokens) -> FastAPI:
    """Return an application with one route for administrators."""
    app = FastAPI()
    app.state.tokens = tokens
    install_problems(app)

    @app.post("/act")
    def act(holder: Annotated[Holder, Depends(require_role("admin"))]) -> str:
        return holder.name

    return app


def test_a_route_for_administrators_is_closed_without_a_file() -> None:
    """403, whatever is sent."""
    with answering(guarded(Tokens(None))) as client:
        for headers in ({}, {"authorization": f"Bearer {ADMIN}"}, {"authorization": "Bearer"}):
            assert "serve.tokens_file" in problem_of(client.post("/act", headers=headers), 403)["detail"]


WRONG = {
    "none": [],
    "empty": [("authorization", "")],
    "no token": [("authorization", "Bearer")],
    "another": [("authorization", f"Bearer {ADMIN}x")],
    "a part": [("authorization", f"Bearer {ADMIN[:-1]}")],
    "another case": [("authorization", f"Bearer {ADMIN.upper()}")],
    "another scheme": [("authorization", f"Basic {ADMIN}")],
    "no scheme": [("authorization", ADMIN)],
    "not ASCII": [("authorization", "Bearer \xe9\xff")],
    "two": [("authorization", f"Bearer {ADMIN}"), ("authorization", f"Bearer {EVENTS}")],
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
def test_none_or_a_wrong_token_is_a_401(file: Path, sent: list[tuple[str, str]]) -> None:
    """With WWW-Authenticate, as RFC 9110 wants; what was sent is not echoed."""
    headers = [(name, value.encode("latin-1")) for name, value in sent]
    with answering(guarded(Tokens(file))) as client:
        response = client.post("/act", headers=headers)
    problem_of(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert EVENTS not in response.text
    assert ADMIN[:-1] not in response.text


def test_a_token_of_another_role_is_a_403(file: Path) -> None:
    """It is known, and told which role it has."""
    with answering(guarded(Tokens(file))) as client:
        response = client.post("/act", headers={"authorization": f"Bearer {EVENTS}"})
    assert "role events" in problem_of(response, 403)["detail"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_an_administrator_is_let_in(file: Path, scheme: str) -> None:
    """However the scheme is written; the route knows who it is."""
    with answering(guarded(Tokens(file))) as client:
        assert client.post("/act", headers={"authorization": f"{scheme} {ADMIN}"}).json() == "ops"


def test_events_from_elsewhere_need_a_token(serving: Callable[..., Service], tmp_path: Path, file: Path) -> None:
    """On a server that others can reach, from this machine too: none 401, which says why; either role 202."""
    client = serving(settings_in(tmp_path, host=EVERYWHERE, tokens_file=str(file))).client
    detail = problem_of(client.post("/v1/events", json=BODY), 401)["detail"]
    assert "it listens on 0.0.0.0; otherwise this needs a token of role events: send Authorization" in detail
    for token in (EVENTS, ADMIN):
        assert client.post("/v1/events", json=BODY, headers={"authorization": f"Bearer {token}"}).status_code == 202


def test_on_loopback_a_token_opens_what_else_is_closed(
    serving: Callable[..., Service], tmp_path: Path, file: Path
) -> None:
    """This machine needs none; what a proxy forwards, or comes under a foreign name, does and is told why."""
    client = serving(settings_in(tmp_path, tokens_file=str(file))).client
    assert client.post("/v1/events", json=BODY).status_code == 202
    proxied = "this machine only"
    for headers, why in (
        ({"host": "freshet.example"}, "the name localhost"),
        ({"x-forwarded-for": "203.0.113.7"}, proxied),
        ({"via": "1.1 proxy"}, proxied),
    ):
        assert why in problem_of(client.post("/v1/events", json=BODY, headers=headers), 401)["detail"]
        headers["authorization"] = f"Bearer {EVENTS}"
        assert client.post("/v1/events", json=BODY, headers=headers).status_code == 202


def test_who_forwards_as_loopback_is_not_believed(serving: Callable[..., Service]) -> None:
    """An outsider may write any address into a header."""
    headers = {"x-forwarded-for": "127.0.0.1"}
    problem_of(serving().client.post("/v1/events", json=BODY, headers=headers), 403)
