"""Promotion, pin and history over real HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service.serve.control import MAX_BODY_BYTES
from service.settings import Settings
from service.store.operations import MAX_REASON_CHARS, OPERATIONS
from service.store.pin import PIN, read_pin
from tests.unit.serve.builders import INSTANCE, damage, problem_of, publish, settings_in, store_of
from tests.unit.serve.running import Service, running

EVENTS, ADMIN = "events-token-0123456789", "admin-token-0123456789"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
UNKNOWN = "000099-00000000"

Serving = Callable[..., Service]


def with_tokens(folder: Path) -> Settings:
    """Return settings with everything inside a folder, and two tokens."""
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text(f"feeder:events:{EVENTS}\nops:admin:{ADMIN}\n")
    return settings_in(folder, tokens_file=str(path))


class Operator:
    """What an administrator asks of a server with three checkpoints, the last one latest."""

    def __init__(self, service: Service, ids: list[str]) -> None:
        self.service = service
        self.ids = ids
        self.client = service.client

    def promote(self, checkpoint_id: str, body: Any = None) -> httpx.Response:
        """Promote a checkpoint, without a body unless one is given."""
        path = f"/v1/checkpoints/{checkpoint_id}/promote"
        return self.client.post(path, headers=AS_ADMIN, **({} if body is None else {"json": body}))

    def pin(self, body: Any) -> httpx.Response:
        """Pin what a body names."""
        return self.client.post("/v1/pin", headers=AS_ADMIN, json=body)

    def unpin(self, query: str = "") -> httpx.Response:
        """Delete the pin."""
        return self.client.delete(f"/v1/pin{query}", headers=AS_ADMIN)

    def status(self) -> dict[str, Any]:
        """Return the server's status, once it has looked at the store."""
        self.service.watcher.look()
        found: dict[str, Any] = self.client.get("/v1/status").json()
        return found

    def history(self) -> list[dict[str, Any]]:
        """Return the history, newest first."""
        found: list[dict[str, Any]] = self.client.get("/v1/history").json()["operations"]
        return found


@pytest.fixture
def operator(serving: Serving, tmp_path: Path) -> Operator:
    """Return an administrator of a server with three checkpoints."""
    settings = with_tokens(tmp_path)
    ids = [publish(settings, seed=seed) for seed in range(3)]
    return Operator(serving(settings), ids)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Return an administrator of a server with a checkpoint, for what is refused and changes nothing."""
    settings = with_tokens(tmp_path_factory.mktemp("refused"))
    published = publish(settings)
    with running(settings) as service:
        yield Operator(service, [published])


ROUTES = [("POST", "/v1/pin"), ("DELETE", "/v1/pin"), ("POST", f"/v1/checkpoints/{UNKNOWN}/promote")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_administrators_change_what_serves(refused: Operator, method: str, path: str) -> None:
    """None or a wrong token 401, another role 403; before anything of the body is read, or of the path looked up."""
    for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": f"Basic {ADMIN}"}):
        problem_of(refused.client.request(method, path, headers=headers, content=b"{"), 401)
    detail = problem_of(refused.client.request(method, path, headers={"authorization": f"Bearer {EVENTS}"}), 403)
    assert "role admin" in detail["detail"]
    assert refused.history() == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_tokens_nobody_does(serving: Serving, tmp_path: Path, method: str, path: str) -> None:
    """Not even this machine: 403, whatever is sent."""
    client = serving(settings_in(tmp_path)).client
    for headers in ({}, AS_ADMIN):
        assert "serve.tokens_file" in problem_of(client.request(method, path, headers=headers), 403)["detail"]


def test_a_promotion_serves_and_says_who_and_why(operator: Operator) -> None:
    """The pointer bears the token's name, never the token."""
    first, _, third = operator.ids
    answer = operator.promote(first, {"reason": "the newer ones misbehave"})
    assert answer.status_code == 200
    latest = answer.json()["latest"]
    assert (latest["id"], latest["previous"], latest["by"]) == (first, third, "ops")
    assert answer.json()["pinned"] is None
    status = operator.status()
    assert status["serving"]["id"] == first
    assert status["latest"] == latest
    entry = operator.history()[0]
    assert (entry["event"], entry["checkpoint"], entry["before"]) == ("promoted", first, third)
    assert (entry["by"], entry["reason"]) == ("ops", "the newer ones misbehave")
    everything = b"".join(
        path.read_bytes() for path in operator.service.settings.store.path.glob("*") if path.is_file()
    )
    assert ADMIN.encode() not in everything


@pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": ""}])
def test_a_promotion_needs_no_reason(operator: Operator, body: Any) -> None:
    """Nor a body."""
    assert operator.promote(operator.ids[0], body).json()["latest"]["reason"] == "by hand"


def test_a_pin_serves_until_it_is_deleted(operator: Operator) -> None:
    """Status says what is pinned, since when, by whom and why, and what would serve."""
    first, _, third = operator.ids
    answer = operator.pin({"id": first, "reason": "audit"})
    assert answer.status_code == 200
    pinned = answer.json()["pinned"]
    assert (pinned["id"], pinned["by"], pinned["reason"]) == (first, "ops", "audit")
    assert answer.json()["replaced"] is None
    assert answer.json()["latest"]["id"] == third
    fourth = publish(operator.service.settings, seed=3)
    status = operator.status()
    assert (status["serving"]["id"], status["latest"]["id"], status["trouble"]) == (first, fourth, None)
    assert status["pinned"] == pinned
    assert operator.service.predict(INSTANCE).json()["checkpoint"]["id"] == first
    assert "freshet_pinned 1.0" in operator.client.get("/metrics").text
    listed = operator.client.get("/v1/checkpoints").json()["checkpoints"]
    assert [one["id"] for one in listed if one["pinned"]] == [first]

    answer = operator.unpin("?reason=done%20with%20it")
    assert answer.json() == {"removed": True, "was": pinned, "latest": status["latest"]}
    status = operator.status()
    assert (status["serving"]["id"], status["pinned"]) == (fourth, None)
    assert "freshet_pinned 0.0" in operator.client.get("/metrics").text
    assert [(one["event"], one["reason"]) for one in operator.history()] == [
        ("unpinned", "done with it"),
        ("pinned", "audit"),
    ]


def test_a_pin_replaces_a_pin(operator: Operator) -> None:
    """And says which one it was."""
    first, second, _ = operator.ids
    operator.pin({"id": first})
    assert operator.pin({"id": second}).json()["replaced"] == first
    assert operator.status()["serving"]["id"] == second


def test_to_delete_no_pin_is_no_fault(operator: Operator) -> None:
    """A client whose answer got lost may ask again: nothing changes, nothing is recorded."""
    for _ in range(2):
        answer = operator.unpin()
        assert answer.status_code == 200
        assert (answer.json()["removed"], answer.json()["was"]) == (False, None)
    assert operator.history() == []


def test_a_promotion_while_there_is_a_pin_waits_and_says_so(operator: Operator) -> None:
    """It is recorded, and served once the pin is gone."""
    first, second, _ = operator.ids
    operator.pin({"id": first})
    answer = operator.promote(second).json()
    assert (answer["latest"]["id"], answer["pinned"]["id"]) == (second, first)
    assert answer["note"] == (
        f"servers go on answering from {first}, which is pinned, and take this one over once the pin is deleted"
    )
    assert operator.status()["serving"]["id"] == first
    operator.unpin()
    assert operator.status()["serving"]["id"] == second


def test_a_damaged_pin_is_told_and_mended(operator: Operator) -> None:
    """What serves goes on; a promotion says that it waits; a new pin, or its deletion, mends it."""
    first, second, _ = operator.ids
    path = operator.service.settings.store.path / PIN
    operator.pin({"id": first})
    operator.status()
    for mend in (lambda: operator.pin({"id": first}), operator.unpin):
        path.write_bytes(b"{}")
        status = operator.status()
        assert (status["serving"]["id"], status["pinned"]) == (first, None)
        assert str(path) in status["trouble"]
        assert str(path) in operator.promote(second).json()["note"]
        assert operator.status()["serving"]["id"] == first
        assert mend().status_code == 200
        assert operator.status()["trouble"] is None
    assert operator.status()["serving"]["id"] == second


@pytest.mark.parametrize("name", [UNKNOWN, "nope", "..", "%2e%2e", "..%2flatest", "%00", "%ff", "a" * 5_000])
def test_to_promote_what_is_not_there_is_a_404(refused: Operator, name: str) -> None:
    """Whatever is asked for; the pointer stays."""
    before = refused.status()["latest"]
    problem_of(refused.promote(name), 404)
    assert refused.status()["latest"] == before


def test_to_pin_what_is_not_there_is_a_404(refused: Operator) -> None:
    """An id that was none of this store's."""
    assert UNKNOWN in problem_of(refused.pin({"id": UNKNOWN}), 404)["detail"]
    assert refused.status()["pinned"] is None


def test_what_cannot_serve_is_a_409_with_the_reason(operator: Operator) -> None:
    """Damaged, or sound and yet of no use: pointer and pin stay, and nothing is recorded."""
    settings, (first, second, third) = operator.service.settings, operator.ids
    damage(settings, first)
    spoilt = publish(settings, spoilt=True)
    store_of(settings).point(third, reason="step back", by="test")
    for bad, why in ((first, "model.safetensors"), (spoilt, "NaN")):
        assert why in problem_of(operator.promote(bad), 409)["detail"]
        assert why in problem_of(operator.pin({"id": bad}), 409)["detail"]
    status = operator.status()
    assert (status["serving"]["id"], status["pinned"], status["latest"]["id"]) == (third, None, third)
    assert operator.history() == []
    assert operator.pin({"id": second}).status_code == 200


FAULTS: dict[str, tuple[bytes, int, str | None]] = {
    "nothing": (b"", 422, "/id"),
    "no JSON": (b"{", 400, ""),
    "no UTF-8": (b'{"id": "\xff"}', 400, ""),
    "UTF-16": (f'{{"id": "{UNKNOWN}"}}'.encode("utf-16"), 400, ""),
    "a list": (b"[]", 422, ""),
    "a text": (b'"000000-00000000"', 422, ""),
    "null": (b"null", 422, ""),
    "no id": (b'{"reason": "why"}', 422, "/id"),
    "a null id": (b'{"id": null}', 422, "/id"),
    "an empty id": (b'{"id": ""}', 422, "/id"),
    "a number": (b'{"id": 5}', 422, "/id"),
    "a huge number": (b'{"id": ' + b"9" * 9_000 + b"}", 422, "/id"),
    "NaN": (b'{"id": NaN}', 422, "/id"),
    "an object": (b'{"id": {"id": 1}}', 422, "/id"),
    "a path": (b'{"id": "../latest"}', 422, "/id"),
    "latest": (b'{"id": "latest"}', 422, "/id"),
    "a line end": (b'{"id": "000000-00000000\\n"}', 422, "/id"),
    "another key": (b'{"id": "000000-00000000", "a/b": 1}', 422, "/a~1b"),
    "the same key": (b'{"id": "000000-00000000", "id": "000001-00000000"}', 422, "/id"),
    "the reason twice": (b'{"id": "000000-00000000", "reason": "a", "reason": "b"}', 422, "/reason"),
    "no text for a reason": (b'{"id": "000000-00000000", "reason": ["why"]}', 422, "/reason"),
    "a number for a reason": (b'{"id": "000000-00000000", "reason": 5}', 422, "/reason"),
    "a long reason": (
        json.dumps({"id": "000000-00000000", "reason": "x" * (MAX_REASON_CHARS + 1)}).encode(),
        422,
        "/reason",
    ),
    "deep": (b'{"id": ' + b"[" * 7_000 + b"]" * 7_000 + b"}", 400, ""),
    "large": (b" " * (MAX_BODY_BYTES + 1), 413, None),
}


@pytest.mark.parametrize(("body", "status", "place"), FAULTS.values(), ids=FAULTS)
def test_a_wrong_body_is_refused_by_name(refused: Operator, body: bytes, status: int, place: str | None) -> None:
    """4xx, with the place of the fault; nothing is pinned."""
    headers = {**AS_ADMIN, "content-type": "application/json"}
    problem = problem_of(refused.client.post("/v1/pin", content=body, headers=headers), status)
    if place is not None:
        assert [fault["pointer"] for fault in problem["errors"]] == [place]
    assert refused.status()["pinned"] is None


def test_another_type_than_json_is_a_415(refused: Operator) -> None:
    """Which keeps the pages of other sites out."""
    body = json.dumps({"id": refused.ids[0]}).encode()
    for path in ("/v1/pin", f"/v1/checkpoints/{refused.ids[0]}/promote"):
        for kind in ({}, {"content-type": "text/plain"}):
            problem_of(refused.client.post(path, content=body, headers=AS_ADMIN | kind), 415)


def test_a_wrong_query_is_refused_by_name(operator: Operator) -> None:
    """As long a reason as a body may have, and no longer; a number of entries that makes sense."""
    operator.pin({"id": operator.ids[0]})
    problem = problem_of(operator.unpin(f"?reason={'x' * (MAX_REASON_CHARS + 1)}"), 422)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/query/reason"]
    assert operator.status()["pinned"] is not None
    for limit in ("0", "1001", "x", "-1", ""):
        problem = problem_of(operator.client.get(f"/v1/history?limit={limit}"), 422)
        assert [fault["pointer"] for fault in problem["errors"]] == ["/query/limit"]


def test_a_reason_forges_no_line(operator: Operator) -> None:
    """Neither in the history nor in the log."""
    forged = 'fine\n{"event": "pinned", "by": "nobody"}\x1b[2J'
    with capture_logs() as logs:
        operator.pin({"id": operator.ids[0], "reason": forged})
    said = [line["reason"] for line in logs if line["event"] == "pinned"]
    assert said == ['fine {"event": "pinned", "by": "nobody"}\\x1b[2J']
    assert [entry["reason"] for entry in operator.history()] == said
    assert len((operator.service.settings.store.path / OPERATIONS).read_bytes().splitlines()) == 1


def test_a_store_that_is_away_is_a_503_and_serving_goes_on(operator: Operator, tmp_path: Path) -> None:
    """With a time to come back; predictions and status need no store."""
    path = operator.service.settings.store.path
    operator.pin({"id": operator.ids[0]})
    operator.status()
    path.rename(tmp_path / "elsewhere")
    path.write_text("no folder")
    for response in (
        operator.promote(operator.ids[0]),
        operator.pin({"id": operator.ids[0]}),
        operator.unpin(),
        operator.client.get("/v1/history"),
    ):
        problem_of(response, 503)
        assert int(response.headers["retry-after"]) > 0
    assert operator.status()["pinned"] is None
    assert operator.service.predict(INSTANCE).json()["checkpoint"]["id"] == operator.ids[0]
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert operator.status()["pinned"]["id"] == operator.ids[0]


def test_the_history_is_bounded_newest_first_and_survives_strange_lines(operator: Operator) -> None:
    """What another program wrote into it is left out."""
    for checkpoint_id in operator.ids:
        operator.pin({"id": checkpoint_id})
    with (operator.service.settings.store.path / OPERATIONS).open("ab") as file:
        file.write(b'{"event": "danced"}\nnonsense\n')
    assert [entry["checkpoint"] for entry in operator.history()] == operator.ids[::-1]
    last = operator.client.get("/v1/history?limit=3").json()["operations"]
    assert [entry["checkpoint"] for entry in last] == [operator.ids[2]]


def test_two_servers_of_one_store_follow_one_pin(operator: Operator, serving: Serving) -> None:
    """Each by itself, whichever was asked."""
    first, _, third = operator.ids
    other = serving(operator.service.settings)
    operator.pin({"id": first})
    other.watcher.look()
    assert other.client.get("/v1/status").json()["pinned"] == operator.status()["pinned"]
    assert other.predict(INSTANCE).json()["checkpoint"]["id"] == first
    other.client.delete("/v1/pin", headers=AS_ADMIN)
    other.watcher.look()
    assert other.predict(INSTANCE).json()["checkpoint"]["id"] == third
    assert operator.status()["serving"]["id"] == third
    assert read_pin(operator.service.settings.store.path) is None
