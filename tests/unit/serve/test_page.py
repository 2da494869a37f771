"""The status page's files, its data over real HTTP, and what they cost."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import pytest

from service.serve.page import routes
from service.serve.page.assets import POLICY, assets, matches
from service.serve.page.collect import MOST_FEATURES, Collector
from service.store.course import Course, write_course
from service.store.journal import DECISIONS, Journal
from service.store.operations import Operations, Operator
from service.store.status import STATUS, write_status
from tests.unit.serve.builders import problem_of, publish, settings_in, store_of
from tests.unit.serve.running import Service

FILES = files("service.serve.page") / "files"
ERRORS = {"champion": 0.1, "frozen": 0.3, "previous": 0.12}


def overview(service: Service) -> dict[str, object]:
    """Return the page's data as it is now, however new the last answer is."""
    found: dict[str, object] = {}
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        response = service.client.get("/v1/overview")
        assert response.status_code == 200
        if found == (found := response.json()):
            time.sleep(routes.FRESH_SECONDS)
            return dict(service.client.get("/v1/overview").json())
    raise AssertionError(found)


def test_everything_on_the_page_comes_from_this_server(ready: Service) -> None:
    """Each address in the page and in its scripts and styles is a file of its own, of the type browsers insist on."""
    page = ready.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert "//" not in page.text
    wanted = {urljoin("/", name) for name in re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)}
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path in wanted | {f"/page/{name}" for name in assets() if name != "index.html"}:
        response = ready.client.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"].startswith(kinds[path.rpartition(".")[2]])
        imported = re.findall(r'from "\./([^"]+)"', response.text)
        assert {*imported} <= {*assets()}, path
        addresses = re.findall(r"https?://[^\"')\s]+", response.text)
        assert {*addresses} <= {"http://www.w3.org/2000/svg"}, "a name space, and never asked for"


def test_no_style_and_no_script_stands_in_the_page() -> None:
    """The policy forbids both, and whatever comes from outside becomes text."""
    assert "'unsafe" not in POLICY
    page = (FILES / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|<script(?![^>]*\ssrc=)| on[a-z]+=", page)
    for name in assets():
        if name.endswith(".js"):
            script = (FILES / name).read_text(encoding="utf-8")
            assert not re.search(r"innerHTML\s*=|insertAdjacentHTML|outerHTML\s*=|document\.write|eval\(", script), name


def test_a_file_that_a_browser_has_is_not_sent_again(ready: Service) -> None:
    """Each has an entity tag, by which a browser may ask whether its own is still the same."""
    for path in ("/", "/page/status.js", "/page/status.css", "/page/icon.svg"):
        first = ready.client.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = ready.client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert ready.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        assert ready.client.head(path).status_code == 200
    assert matches('W/"a", "b"', '"b"')
    assert not matches('"c"', '"b"')


@pytest.mark.parametrize("name", ["nope.js", "index.html", "%2e%2e%2fassets.py", "__init__.py", "%00", "a" * 3_000])
def test_what_is_no_file_of_the_page_is_a_404(ready: Service, name: str) -> None:
    """No path leads out of the folder."""
    problem_of(ready.client.get(f"/page/{name}"), 404)


def test_the_package_holds_the_files() -> None:
    """As resources, wherever it is installed; nothing beside them."""
    assert {entry.name for entry in FILES.iterdir()} == {*assets()}
    assert {"index.html", "status.css", "status.js", "icon.svg"} <= {*assets()}


def test_before_anything_exists_the_page_has_data(serving: Callable[..., Service]) -> None:
    """Nulls, empty lists and the reason: an answer that needs no store."""
    told = overview(serving())
    assert (told["serving"], told["trainer"], told["drift"], told["heard_at"]) == (None, None, None, None)
    assert "no checkpoint has been published yet" in str(told["trouble"])
    assert (told["rounds"], told["notices"], told["by_hand"]) == ([], [], [])
    assert told["scores"] == {name: [] for name in Course().__slots__}


def test_the_data_is_what_the_store_says(serving: Callable[..., Service], tmp_path: Path) -> None:
    """What serves, how it fared, the rounds, what was done by hand, drift, and when the trainer was heard."""
    settings = settings_in(tmp_path)
    first, second = publish(settings), publish(settings, seed=1)
    path, course = settings.store.path, Course()
    course.add(1_000, 10, ERRORS, promoted=1, lag=0)
    write_course(path, course)
    drift = {"psi": {"age": 0.02, "city": 0.2}, "unseen": {"city": 0.5}, "prediction": {"model": 0.1}, "concept": {}}
    status = {"state": "learning", "worth_an_alarm": 0.1, "drift": {**drift, "alarms": {"data": 2}}}
    write_status(path, status)
    os.utime(path / STATUS, (1_769_851_800.25, 1_769_851_800.25))
    Journal(path / DECISIONS).append({"event": "decision", "decision": "reject", "reason": "recent_worse", "round": 7})
    Operations(store_of(settings)).pin(first, Operator("ops", "because"))
    told = json.loads(json.dumps(overview(serving(settings))))
    assert (told["serving"]["id"], told["latest"]["id"], told["pinned"]["by"]) == (first, second, "ops")
    assert told["scores"]["frozen"] == [0.3]
    assert [(one["round"], one["outcome"], one["reason"]) for one in told["rounds"]] == [
        (7, "rejected", "recent_worse")
    ]
    assert [(one["event"], one["checkpoint"], one["reason"]) for one in told["by_hand"]] == [
        ("pinned", first, "because")
    ]
    assert told["heard_at"] == "2026-01-31T09:30:00.250Z"
    assert told["trainer"] == {"state": "learning", "worth_an_alarm": 0.1}
    assert [(one["feature"], one["psi"], one["unseen"]) for one in told["drift"]["features"]] == [
        ("city", 0.2, 0.5),
        ("age", 0.02, None),
    ]
    assert (told["drift"]["prediction"], told["drift"]["concept"], told["drift"]["alarms"]) == (0.1, None, {"data": 2})


def test_an_answer_that_a_client_has_is_not_sent_again(ready: Service) -> None:
    """While nothing changes in the store, a page that asks every other second gets 304."""
    first = ready.client.get("/v1/overview")
    again = ready.client.get("/v1/overview", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert {one.headers["cache-control"] for one in (first, again)} == {"private, no-cache"}


@pytest.mark.parametrize("broken", [{"drift": 5}, {"drift": {"psi": {"a": "b", "c": True}}}, {"worth_an_alarm": "x"}])
def test_a_trainer_of_another_version_does_no_harm(
    serving: Callable[..., Service], tmp_path: Path, broken: dict[str, object]
) -> None:
    """Whatever it wrote; what can be shown is shown."""
    settings = settings_in(tmp_path)
    write_status(settings.store.path, {"state": "learning", **broken})
    told = overview(serving(settings))
    assert isinstance(told["trainer"], dict)
    assert told["trainer"]["state"] == "learning"


def test_many_features_are_told_as_far_as_anybody_reads(serving: Callable[..., Service], tmp_path: Path) -> None:
    """The most drifted first, bounded, with how many there are."""
    settings = settings_in(tmp_path)
    scores = {f"f{number}": number / 1_000 for number in range(MOST_FEATURES + 50)}
    write_status(settings.store.path, {"drift": {"psi": scores}})
    drift = overview(serving(settings))["drift"]
    assert isinstance(drift, dict)
    assert (len(drift["features"]), drift["count"]) == (MOST_FEATURES, MOST_FEATURES + 50)
    assert drift["features"][0]["feature"] == f"f{MOST_FEATURES + 49}"


def test_a_store_that_hangs_holds_up_nobody(
    serving: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page gets 503; predictions are answered meanwhile; and one thread waits, however many ask."""
    settings = settings_in(tmp_path)
    publish(settings)
    service = serving(settings)
    free, waiting = threading.Event(), []
    usual = Collector.collect

    def hang(self: Collector) -> object:
        waiting.append(threading.current_thread())
        free.wait(60)
        return usual(self)

    monkeypatch.setattr(Collector, "collect", hang)
    monkeypatch.setattr(routes, "PATIENCE_SECONDS", 0.05)
    try:
        for _ in range(3):
            answer = service.client.get("/v1/overview")
            assert "the store has not answered" in problem_of(answer, 503)["detail"]
            assert answer.headers["retry-after"]
        assert service.predict({"age": 1, "income": 2.0, "owner": True, "city": "Rome"}).status_code == 200
        while not waiting:
            time.sleep(0.01)
        assert len(waiting) == 1
    finally:
        free.set()


def test_the_routes_are_counted_by_their_names(ready: Service) -> None:
    """Metrics know the page's routes, and no file has a label of its own."""
    for path in ("/", "/page/status.js", "/page/status.css", "/v1/overview"):
        ready.client.get(path)
    metrics = ready.client.get("/metrics").text
    for route in ("/", "/page/{name}", "/v1/overview"):
        found = re.search(
            rf'freshet_request_duration_seconds_count{{route="{re.escape(route)}",status="200"}} (\S+)', metrics
        )
        assert found, route
        assert float(found[1]) >= 1
