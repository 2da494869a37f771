"""POST /v1/events over real HTTP."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.serve.access import is_loopback
from tests.unit.serve.builders import problem_of, settings_in
from tests.unit.serve.running import Service

EVENTS = "/v1/events"


def test_events_are_handed_in_and_the_refused_are_named(serving: Callable[..., Service]) -> None:
    """202 with the number accepted, and index and reason of each other one."""
    service = serving()
    response = service.client.post(EVENTS, json={"events": [{"a": 1}, 5, {"a": 2}, "x"]})
    assert response.status_code == 202
    assert response.json() == {
        "accepted": 2,
        "rejected": [{"index": 1, "reason": "not_object"}, {"index": 3, "reason": "not_object"}],
    }
    assert service.desk.kept == [{"a": 1}, {"a": 2}]


def test_a_source_that_is_away_is_a_503(serving: Callable[..., Service]) -> None:
    """Nothing is promised that is not durable; the client is told when to come back."""
    service = serving()
    service.desk.away = True
    response = service.client.post(EVENTS, json={"events": [{}]})
    assert "the log is away" in problem_of(response, 503)["detail"]
    assert int(response.headers["retry-after"]) > 0
    service.desk.away = False
    assert service.client.post(EVENTS, json={"events": [{}]}).status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{}", 422), (b'{"events": []}', 422), (b'{"events": 1}', 422), (b'{"events": [1, 2, 3]}', 413)],
)
def test_bad_bodies_are_refused_as_for_predictions(serving: Callable[..., Service], body: bytes, status: int) -> None:
    """The same limits and the same problems."""
    problem_of(serving(max_instances=2).post(body, EVENTS), status)


def test_a_page_under_another_name_is_kept_out(serving: Callable[..., Service]) -> None:
    """A browser that was led here under a foreign host name gets 403, before its body is read."""
    response = serving().client.post(EVENTS, json={"events": [{}]}, headers={"host": "evil.example:8000"})
    assert "localhost" in problem_of(response, 403)["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_this_machines_names_are_let_in(serving: Callable[..., Service], host: str) -> None:
    """Under whichever name of the loopback address the client came."""
    assert serving().client.post(EVENTS, json={"events": [{}]}, headers={"host": host}).status_code == 202


def test_a_client_behind_a_local_proxy_is_kept_out(serving: Callable[..., Service]) -> None:
    """What a proxy on this machine forwards is not from this machine."""
    response = serving().client.post(EVENTS, json={"events": [{}]}, headers={"x-forwarded-for": "203.0.113.7"})
    assert "this machine only" in problem_of(response, 403)["detail"]


def test_a_server_that_others_can_reach_takes_no_events(serving: Callable[..., Service], tmp_path: Path) -> None:
    """Bound to every address, it refuses even a client on loopback unless tokens are configured."""
    response = serving(settings_in(tmp_path, host="0.0.0.0")).client.post(EVENTS, json={"events": [{}]})  # noqa: S104
    assert "0.0.0.0" in problem_of(response, 403)["detail"]  # noqa: S104


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("localhost.", True),
        ("0.0.0.0", False),  # noqa: S104 - every address is more than loopback
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host: str, *, loopback: bool) -> None:
    """By name or by address, in either family."""
    assert is_loopback(host) is loopback
