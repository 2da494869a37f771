"""The status page in a real browser, on a real server with a real store."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, Route, expect, sync_playwright

from service.serve.page.routes import FRESH_SECONDS
from service.settings import Settings
from service.store.clock import utc_text
from service.store.course import Course, write_course
from service.store.journal import DECISIONS, Journal
from service.store.operations import Operations, Operator
from service.store.status import STATUS, write_status
from tests.conftest import not_here
from tests.trainer_status import HOSTILE, status
from tests.unit.serve.builders import publish, settings_in, store_of
from tests.unit.serve.running import served

POINTS = 60
PHONE = {"width": 375, "height": 812}
PATIENCE_MS = 30_000


def course(*, reached: float = 0.1) -> Course:
    """Return an hour's course in which the champion recovers and the frozen model does not."""
    found, now_ms = Course(), int(time.time() * 1_000)
    for number in range(1, POINTS + 1):
        errors = {"champion": reached + 0.2 / number, "frozen": 0.1 + 0.005 * number}
        found.add(now_ms - (POINTS - number) * 60_000, number * 500, errors, promoted=number // 4, lag=0)
    return found


@dataclass
class Visit:
    """A page that is looked at, what its console said, and which addresses it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the one browser of this module: the system's Chromium, else the one that Playwright keeps."""
    with sync_playwright() as playwright:
        path = executable(playwright)
        if path is None:
            not_here("no browser: neither Chromium on PATH nor one of Playwright's own")
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        expect.set_options(timeout=PATIENCE_MS)
        yield started
        started.close()


def executable(playwright: Playwright) -> str | None:
    """Return the browser's program, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    own = playwright.chromium.executable_path
    return next(filter(None, map(shutil.which, names)), own if Path(own).exists() else None)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings with a store in which all has happened that the page can show."""
    found = settings_in(tmp_path_factory.mktemp("page"))
    path = found.store.path
    publish(found)
    Operations(store_of(found)).promote(publish(found, seed=1), Operator("ops", HOSTILE))
    journal = Journal(path / DECISIONS)
    told = {"at": "2026-01-31T09:30:00.250Z", "trigger": "new_events", "trigger_detail": "500 new events"}
    journal.append({**told, "event": "decision", "decision": "reject", "reason": "recent_worse", "round": 15})
    journal.append({**told, "event": "decision", "decision": "reject", "reason": "suspected", "round": 14})
    journal.append({**told, "event": "round_failed", "cause": "crash", "message": HOSTILE, "round": 16})
    journal.append({**told, "event": "drift", "kind": "data", "feature": HOSTILE, "meaning": "the data differ"})
    write_course(path, course())
    write_status(path, status())
    return found


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    """Serve the page and return where it is."""
    with served(settings) as client:
        yield str(client.base_url)


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Browser, address: str, settings: Settings) -> Iterator[Visit]:
    """Open the page, in a window and scheme of the test's own; at the end nothing may have been complained about."""
    write_status(settings.store.path, status())
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **getattr(request, "param", {})})
    visited = Visit(context.new_page())
    visited.page.set_default_timeout(PATIENCE_MS)
    visited.page.on("console", lambda message: visited.complaints.append(message.text))
    visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    visited.page.on("request", lambda asked: visited.asked.append(asked.url))
    visited.page.goto(address)
    expect(visited.page.locator("#chart svg")).to_be_visible(timeout=PATIENCE_MS)
    yield visited
    context.close()
    assert visited.complaints == []
    assert visited.asked
    assert [url for url in visited.asked if not url.startswith(address)] == []


def ask(page: Page) -> None:
    """Let the page ask at once, as when somebody comes back to it, and not only when it is time again."""
    time.sleep(FRESH_SECONDS)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_the_answer_stands_at_the_top(visit: Visit, settings: Settings) -> None:
    """Whether the model is current and better than doing nothing, which one serves, and since when."""
    latest = store_of(settings).latest()
    assert latest is not None
    expect(visit.page.locator("h1")).to_have_text("Current, and 30.0 points better than doing nothing.")
    expect(visit.page.locator("#because")).to_contain_text(latest.id)
    expect(visit.page.locator("#because")).to_contain_text("right on 90.0% of the newest 2,000 events")
    expect(visit.page.locator("#because time").first).to_have_attribute("title", re.compile(r"20\d\d"))
    expect(visit.page.locator("#serving")).to_contain_text(latest.id)
    expect(visit.page).to_have_title(re.compile("^Current"))


def test_both_lines_are_drawn_and_can_be_read_by_keyboard(visit: Visit) -> None:
    """A line has as many points as there are; the arrow keys tell their values, also to a screen reader."""
    for role in ("champion", "frozen"):
        path = visit.page.locator(f"#chart path.line.{role}").get_attribute("d")
        assert path is not None
        assert len(re.findall("[ML]", path)) == POINTS
    assert visit.page.locator("#chart .rug").count() == POINTS // 4
    image = visit.page.locator("#chart svg")
    expect(image).to_have_attribute("aria-label", re.compile("^Accuracy over 59 min: at first champion 70.0%"))
    image.focus()
    for key in ("Home", "ArrowRight"):
        visit.page.keyboard.press(key)
    expect(visit.page.locator("#chart .tip")).to_contain_text("80.0%")
    expect(visit.page.locator("#chart [role=status]")).to_contain_text("events so far 1,000")
    visit.page.keyboard.press("Escape")
    expect(visit.page.locator("#chart .tip")).to_be_hidden()


def test_what_was_given_from_outside_is_shown_as_text(visit: Visit) -> None:
    """A feature, a topic, a reason and a message that are markup become no element."""
    for place in ("#features", "#stream", "#acts", "#rounds", "#alarms"):
        expect(visit.page.locator(place)).to_contain_text(HOSTILE)
    assert visit.page.locator("img").count() == 1, "the page's own"
    assert "taken over" not in visit.page.title()
    expect(visit.page.locator("#more-features summary")).to_have_text("42 more features, less drifted")


def test_it_follows_what_happens(visit: Visit, settings: Settings) -> None:
    """A new checkpoint, a trainer's trouble and a pin show without anybody's doing."""
    first = publish(settings, seed=2)
    expect(visit.page.locator("#serving")).to_contain_text(first, timeout=PATIENCE_MS)
    write_status(settings.store.path, status(problem="the broker is away", state="waiting"))
    ask(visit.page)
    expect(visit.page.locator("#notes")).to_contain_text("The broker is away", timeout=PATIENCE_MS)
    operations = Operations(store_of(settings))
    operations.pin(first, Operator("eva", "wait for me"))
    try:
        ask(visit.page)
        expect(visit.page.locator("h1")).to_contain_text("Held by hand", timeout=PATIENCE_MS)
        expect(visit.page.locator("#notes")).to_contain_text("pinned by eva: wait for me")
    finally:
        operations.unpin(Operator("eva"))


def test_counts_since_the_start_and_rounds_without_a_verdict_say_so(visit: Visit, settings: Settings) -> None:
    """After a restart fewer refusals have a reason than there are letters; some rounds have ended in no count."""
    page = visit.page
    expect(page.locator("#stream")).not_to_contain_text("since the start,")
    expect(page.locator("#rounds-note")).not_to_contain_text("other")
    expect(page.locator("#rounds .badge.withheld")).to_have_text("withheld")
    events = {"accepted": 30_000, "refused": 50, "predicted": 30_000}
    restarted = utc_text(time.time() - 10)
    write_status(
        settings.store.path, status(events=events, rounds={"started": 18, "promoted": 15}, started_at=restarted)
    )
    ask(page)
    expect(page.locator("#stream")).to_contain_text(re.compile(r"letters50 .*since the start, [^,]+ ago12not JSON12"))
    expect(page.locator("#stream")).to_contain_text("Last recordnone since the start")
    expect(page.locator("#health")).to_contain_text("1 (crash) since the start")
    expect(page.locator("#rounds-note")).to_contain_text("15 promoted, 3 others (first model, withheld or cut off)")


def test_a_server_that_is_away_is_told(visit: Visit) -> None:
    """What is shown is marked as old, and the page goes on by itself once there is an answer."""

    def away(route: Route) -> None:
        route.fulfill(status=503, json={"detail": "the store has not answered"})

    visit.page.route("**/v1/overview", away)
    ask(visit.page)
    silence = visit.page.locator("#silence")
    expect(silence).to_contain_text("the store has not answered. What is shown is of", timeout=PATIENCE_MS)
    expect(visit.page.locator("#live")).to_contain_text("no answer since")
    expect(visit.page.locator("#state-text")).to_contain_text("As of")
    visit.page.unroute("**/v1/overview")
    expect(silence).to_be_hidden(timeout=PATIENCE_MS)
    expect(visit.page.locator("#live")).to_contain_text("live")
    assert all("503" in line for line in visit.complaints), "the browser itself notes what we made it see"
    visit.complaints.clear()


@pytest.mark.parametrize("visit", [{"viewport": PHONE}], indirect=True)
def test_a_phone_shows_all_of_it_without_scrolling_sideways(visit: Visit) -> None:
    """At 375 pixels nothing is wider than the screen, folds opened too, and the text can be read."""
    for summary in visit.page.locator("details:not([hidden]) > summary").all():
        summary.click()
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    wide = "[...document.querySelectorAll('body *')].filter(n => n.getBoundingClientRect().right > innerWidth + 0.5)"
    outside = page.evaluate(f"{wide}.filter(n => !n.closest('.skip, .unseen')).map(n => n.outerHTML.slice(0, 80))")
    assert outside == []
    sizes = "[...document.querySelectorAll('p, dd, dt, li, td')].map(n => parseFloat(getComputedStyle(n).fontSize))"
    assert min(page.evaluate(sizes)) >= 12


def test_the_scheme_is_that_of_the_reader(visit: Visit) -> None:
    """Dark where it is wanted, light where not, each with enough contrast for text."""
    page, papers = visit.page, {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        papers[scheme] = luminance(page, "document.body", "backgroundColor")
        card = luminance(page, "document.querySelector('.card')", "backgroundColor")
        for text in ("h1", ".note", ".tile dt", ".bars .value", ".facts dd", ".rounds .numbers"):
            ink = luminance(page, f"document.querySelector('{text}')", "color")
            assert contrast(ink, card) >= 4.5, (scheme, text)
        for badge in (".chip", ".badge.failed"):
            ink, ground = (
                luminance(page, f"document.querySelector('{badge}')", name) for name in ("color", "backgroundColor")
            )
            assert contrast(ink, ground) >= 4.5, (scheme, badge)
    assert papers["light"] > 0.8
    assert papers["dark"] < 0.05


def luminance(page: Page, element: str, name: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    text = page.evaluate(f"getComputedStyle({element}).{name}")
    channels = [int(part) / 255 for part in re.findall(r"\d+", text)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return float(sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


def contrast(one: float, other: float) -> float:
    """Return the contrast of two luminances (WCAG 2.2)."""
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("task", "labels", "headline"),
    [
        ("regression", (), "Current, and 75.0% less error than doing nothing."),
        ("multiclass", ("a", "b", "c"), "Current, and 30.0 points better than doing nothing."),
    ],
)
def test_every_task_has_its_measure(
    browser: Browser, tmp_path: Path, task: str, labels: tuple[str, ...], headline: str
) -> None:
    """Errors in the label's own unit for a regression, accuracy where labels are predicted."""
    settings = settings_in(tmp_path, task=task, labels=labels)
    publish(settings)
    write_course(settings.store.path, course())
    write_status(settings.store.path, status())
    with served(settings) as client, browser.new_context() as context:
        page = context.new_page()
        page.goto(str(client.base_url))
        expect(page.locator("h1")).to_have_text(headline, timeout=PATIENCE_MS)
        title = "Mean absolute error over time" if task == "regression" else "Accuracy over time"
        expect(page.locator("#course-title")).to_have_text(title)


def test_before_the_first_event_the_page_says_what_is_missing(browser: Browser, tmp_path: Path) -> None:
    """No trainer, then one that has heard nothing yet, then one that has fallen silent."""
    settings = settings_in(tmp_path)
    with served(settings) as client, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(str(client.base_url))
        expect(page.locator("h1")).to_have_text("There is no model yet.", timeout=PATIENCE_MS)
        expect(page.locator("#because")).to_contain_text("No trainer has written to this store")
        expect(page.locator("#chart")).to_contain_text("No event has been scored yet")
        empty = {"prequential": {}, "prequential_totals": {}, "prequential_events": 0, "new_events": 3, "drift": {}}
        write_status(settings.store.path, status(**empty))
        ask(page)
        expect(page.locator("#because")).to_contain_text("3 of 500 events are there", timeout=PATIENCE_MS)
        publish(settings)
        os.utime(settings.store.path / STATUS, (time.time() - 60,) * 2)
        ask(page)
        expect(page.locator("h1")).to_have_text(
            "No longer kept current, and not yet compared with anything.", timeout=PATIENCE_MS
        )
