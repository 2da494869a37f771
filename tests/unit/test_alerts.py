"""The alert rules: sound, tried firing and silent, made of what is exported, and each with a section in the runbook."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.runbook import Section
from service.drift.monitor import watched
from service.metrics import ServerObserver, TrainerObserver
from service.serve.api import KNOWN_ANSWERS
from service.settings import Settings
from service.validate.gate import DECISION_REASONS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "config" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
ALERTMANAGER = ROOT / "config" / "alertmanager" / "alertmanager.yml"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
OF_PROMETHEUS = {"up", "process_start_time_seconds"}
OF_TARGETS = {"job", "instance", "namespace"}
SELECTOR = re.compile(r"\b(freshet_\w+|process_\w+|up)\b(?!:)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')

Labels = dict[str, str]


def parsed(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return a YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """Return all rules, recorded ones too."""
    return [rule for path in RULES for group in parsed(path)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def run(*command: str | Path) -> str:
    """Run one of Prometheus' tools, skipping the test where it is not installed; return what a failure says, or ''."""
    if shutil.which(str(command[0])) is None:
        reason = f"{command[0]} is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true" and command[0] == "promtool":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr if ended.returncode else ""


@cache
def exported() -> dict[str, list[Labels]]:
    """Return every series that trainer and server export, by name: the labels of each."""
    settings = Settings.model_validate({"schema": {"numeric": ["amount"]}})
    trainer = TrainerObserver("binary", decisions=DECISION_REASONS, drift=watched(settings.schema_), members=["one"])
    for hook in (trainer.consumed, trainer.positions_gone, trainer.lagged, trainer.progressed):
        hook("events", 0, 1)
    server = ServerObserver(answers=KNOWN_ANSWERS)
    server.serving("000001-0a1b2c3d", 0.0, 0.0)
    found: dict[str, list[Labels]] = {}
    for observer in (trainer, server):
        for metric in observer.registry.collect():
            for sample in metric.samples:
                found.setdefault(sample.name, []).append(dict(sample.labels))
    return found | {name: [{}] for name in OF_PROMETHEUS}


def selectors(text: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each series that an expression asks for: its name, and label, operator and value of each condition."""
    for name, conditions in SELECTOR.findall(text):
        yield name, MATCHER.findall(conditions)


def is_met(condition: tuple[str, str, str], labels: Labels) -> bool:
    """Return whether a series has the label as it is asked for; what a target is called is not the exporter's."""
    label, operator, value = condition
    if label in OF_TARGETS:
        return True
    pattern = value if operator == "=~" else re.escape(value)
    return label in labels and re.fullmatch(pattern, labels[label]) is not None


def headings() -> list[str]:
    """Return the runbook's headings."""
    return re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)


def tried() -> dict[str, list[bool]]:
    """Return for each alert of the tests whether it was to fire, each time."""
    found: dict[str, list[bool]] = {}
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for one in parsed(path)["tests"]:
            for check in one["alert_rule_test"]:
                found.setdefault(check["alertname"], []).append(bool(check["exp_alerts"]))
    return found


def test_prometheus_takes_the_rules() -> None:
    """Syntax, expressions and templates."""
    assert not run("promtool", "check", "rules", *RULES)


@pytest.mark.parametrize("name", [path.name for path in RULES])
def test_alerts_fire_when_they_should_and_not_before(name: str) -> None:
    """Each case of the file's tests: who fires, when, with which labels, and what is said with which numbers."""
    assert not run("promtool", "test", "rules", PROMETHEUS / "tests" / name)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tried_firing_and_silent(alert: str) -> None:
    """One that never fires in any test may never fire; one that always does tells nothing."""
    assert set(tried().get(alert, [])) == {True, False}


def test_nothing_is_tried_that_is_no_alert() -> None:
    """A silent alert of a wrong name is silent for ever."""
    assert tried().keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_whom_and_where_to_read_on(alert: str) -> None:
    """How long, how urgent, a line, a sentence, and its section of the runbook."""
    rule = ALERTS[alert]
    assert re.fullmatch(r"Freshet[A-Z]\w+", alert)
    assert rule["for"]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert "\n" not in told["summary"]
    assert told["description"].endswith(".")
    assert told["runbook_url"] == f"docs/RUNBOOK.md#{alert.lower()}"
    assert headings().count(alert) == 1


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    """Headings that begin as alerts do are alerts."""
    assert {heading for heading in headings() if heading.startswith("Freshet")} == ALERTS.keys()


def test_the_alerts_that_dashboards_name_exist() -> None:
    """Panels point to their sections."""
    assert {str(section) for section in Section} <= ALERTS.keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_what_is_exported(rule: dict[str, Any]) -> None:
    """Names, labels and their values: a slip would be an alert that never fires. Recorded names are those of a rule."""
    recorded = {one["record"] for one in rules() if "record" in one}
    assert set(re.findall(r"\bfreshet:[\w:]+", rule["expr"])) <= recorded
    asked = list(selectors(rule["expr"]))
    assert asked or recorded
    for name, conditions in asked:
        found = exported().get(name, [])
        assert any(all(is_met(one, labels) for one in conditions) for labels in found), (name, conditions)
    known = {label for name, _ in asked for labels in exported()[name] for label in labels}
    grouped = {label for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]) for label in labels.split(", ")}
    assert grouped <= known | OF_TARGETS


def test_the_tests_feed_what_is_exported() -> None:
    """Made-up series have the names, labels and known values of real ones."""
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for one in parsed(path)["tests"]:
            for series in one["input_series"]:
                ((name, conditions),) = selectors(series["series"])
                names = {label for label, _, _ in conditions}
                known = exported().get(name, [])
                assert any(names - OF_TARGETS == labels.keys() for labels in known), series["series"]


def test_alertmanager_keeps_back_what_exists() -> None:
    """Each alert that an inhibition names is one of ours, and no two keep each other back."""
    pairs = set()
    for rule in parsed(ALERTMANAGER)["inhibit_rules"]:
        sides = []
        for side in (rule["source_matchers"], rule["target_matchers"]):
            ((label, _, value),) = MATCHER.findall(side[0])
            assert label == "alertname"
            sides.append(value.split("|"))
        pairs |= {(source, target) for source in sides[0] for target in sides[1]}
        assert rule["equal"] == ["namespace"]
    assert {name for pair in pairs for name in pair} <= ALERTS.keys()
    assert not {(source, target) for source, target in pairs if (target, source) in pairs}


def test_alertmanager_tells_nobody_until_somebody_is_named() -> None:
    """Every route ends at a receiver that exists and has no address: alerts are on the page, and nowhere else."""
    config = parsed(ALERTMANAGER)
    route = config["route"]
    assert config["receivers"] == [{"name": route["receiver"]}]
    assert {one["receiver"] for one in route["routes"]} == {route["receiver"]}


def test_alertmanagers_own_tool_finds_no_fault(tmp_path: Path) -> None:
    """As it is, and with the receivers that stand there as comments."""
    assert not run("amtool", "check-config", ALERTMANAGER)
    text = ALERTMANAGER.read_text(encoding="utf-8")
    used = re.sub(r"^  # ((?:- |  )[\w ].*)$", r"  \1", text, flags=re.MULTILINE)
    assert used != text
    changed = tmp_path / "alertmanager.yml"
    changed.write_text(used, encoding="utf-8")
    assert len(parsed(changed)["receivers"]) == 3
    assert not run("amtool", "check-config", changed)
