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

from dashboards.every import EVERY
from dashboards.frame import as_plain
from dashboards.runbook import Section
from service.drift.monitor import watched
from service.metrics import ServerObserver, TrainerObserver
from service.serve.api import KNOWN_ANSWERS
from service.settings import Settings
from service.validate.gate import DECISION_REASONS

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "config" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
ALERTMANAGER = ROOT / "config" / "alertmanager" / "alertmanager.yml"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"

PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}
OF_PROMETHEUS = {"up", "process_start_time_seconds"}
LONG = {"FreshetPinned"}
OF_TARGETS = {"job", "instance", "namespace"}
SELECTOR = re.compile(r'\b(freshet_\w+|process_\w+|up)\b(?:\{((?:[^"}]|"[^"]*")*)\})?')
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')

Labels = dict[str, str]
Condition = tuple[str, str, str]
"""Label, operator and value."""


@cache
def parsed(path: Path) -> Any:
    """Return a YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Return all rules of a kind, ``alert`` or ``record``, by name."""
    groups = [group for path in RULES for group in parsed(path)["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


ALERTS, RECORDS = rules("alert"), rules("record")


def complaint(program: str, *arguments: str | Path) -> str:
    """Run one of Prometheus' tools; return what it says if it fails, else ''. Where it is missing the test is skipped.

    With CI=true it has to be there.
    """
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed: apt-get install {PACKAGES[program]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    ended = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
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


def selectors(text: str) -> Iterator[tuple[str, list[Condition]]]:
    """Yield each series that an expression asks for: its name and its conditions."""
    for name, conditions in SELECTOR.findall(text):
        yield name, MATCHER.findall(conditions)


def is_met(condition: Condition, labels: Labels) -> bool:
    """Return whether a series has the label as it is asked for; what a target is called is not the exporter's."""
    label, operator, value = condition
    if label in OF_TARGETS:
        return label != "job" or re.fullmatch(r"freshet-(trainer|server|\(trainer\|server\))", value) is not None
    pattern = value if operator == "=~" else re.escape(value)
    return label in labels and re.fullmatch(pattern, labels[label]) is not None


def sections() -> dict[str, str]:
    """Return the runbook's sections of alerts by heading, the heading's line left out."""
    text = RUNBOOK.read_text(encoding="utf-8")
    parts = re.split(r"^#{2,} (.+)\n", text, flags=re.MULTILINE)[1:]
    names = [name for name in parts[::2] if name.startswith("Freshet")]
    assert len(names) == len(set(names))
    return {name: part for name, part in zip(parts[::2], parts[1::2], strict=True) if name in names}


def looks() -> Iterator[tuple[str, bool]]:
    """Yield for each look of each case which alert it looks for, and whether it should fire."""
    for path in TESTS:
        for case in parsed(path)["tests"]:
            for look in case.get("alert_rule_test", ()):
                yield look["alertname"], bool(look["exp_alerts"])


def test_prometheus_takes_the_rules() -> None:
    """Syntax, expressions and templates."""
    assert not complaint("promtool", "check", "rules", *RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_before(path: Path) -> None:
    """Each case of the file: who fires, when, with which labels, and what is said with which numbers."""
    assert not complaint("promtool", "test", "rules", path)


def test_each_alert_is_tried_firing_and_silent() -> None:
    """One that never fires in any test may never fire; one that always does tells nothing."""
    assert set(looks()) == {(name, fires) for name in ALERTS for fires in (True, False)}


def test_the_edges_of_each_alert_are_tried() -> None:
    """Just before and just after, in time and in number; half a day is too long for that."""
    assert {case["name"] for case in parsed(PROMETHEUS / "tests" / "edges.yml")["tests"]} == ALERTS.keys() - LONG


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_a_person_needs(name: str) -> None:
    """For how long, how urgent, in one line and in numbers, and where to read on: what to look at, when it is over."""
    alert, severity = ALERTS[name], ALERTS[name]["labels"]["severity"]
    assert name.startswith("Freshet")
    assert alert["for"]
    assert alert["labels"] == {"severity": severity}
    assert severity in ("page", "ticket")
    told = alert["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert "\n" not in told["summary"]
    assert told["description"].endswith(".")
    assert told["runbook_url"] == f"docs/RUNBOOK.md#{name.lower()}"
    section = sections()[name]
    assert section.lstrip().startswith(f"Severity **{severity}**: ")
    parts: list[str] = re.findall(r"^- \*\*(\w+:)\*\* \S", section, flags=re.MULTILINE)
    assert parts == ["Means:", "Look:", "Causes:", "Do:", "Over:"]


def test_the_runbook_has_no_section_too_many() -> None:
    """What no alert leads to would go stale."""
    assert sections().keys() == ALERTS.keys()


def test_the_runbook_leads_to_panels_that_there_are() -> None:
    """What stands in italics is a dashboard's title, or a panel's."""
    made = [as_plain(make()) for make in EVERY.values()]
    titles = {one["title"] for one in made} | {panel["title"] for one in made for panel in one["panels"]}
    named = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", RUNBOOK.read_text(encoding="utf-8"))
    assert named
    assert set(named) <= titles


def test_panels_lead_to_alerts_that_there_are() -> None:
    """A dashboard names sections of the runbook."""
    assert {str(section) for section in Section} <= ALERTS.keys()


@pytest.mark.parametrize("rule", [*ALERTS.values(), *RECORDS.values()], ids=[*ALERTS, *RECORDS])
def test_a_rule_asks_for_what_is_exported(rule: dict[str, Any]) -> None:
    """Names, labels and their values: a slip would be an alert that never fires. Recorded names are those of a rule."""
    assert set(re.findall(r"\bfreshet:[\w:]+", rule["expr"])) <= RECORDS.keys()
    asked = list(selectors(rule["expr"]))
    assert asked
    for name, conditions in asked:
        found = exported().get(name, [])
        assert any(all(is_met(one, labels) for one in conditions) for labels in found), (name, conditions)
    known = {label for name, _ in asked for labels in exported()[name] for label in labels}
    grouped = {label for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"]) for label in labels.split(", ")}
    assert grouped <= known | OF_TARGETS


def test_cases_feed_what_is_exported() -> None:
    """Made-up series have names and labels of real ones."""
    for path in TESTS:
        for case in parsed(path)["tests"]:
            for series in case["input_series"]:
                ((name, conditions),) = selectors(series["series"])
                labels = {label for label, _, _ in conditions} - OF_TARGETS
                assert any(labels == known.keys() for known in exported().get(name, [])), series["series"]


def test_prometheus_and_alertmanager_are_given_their_files() -> None:
    """Rules and nothing else in the folder that is read as rules; both mounted where the configuration looks."""
    assert parsed(PROMETHEUS / "prometheus.yml")["rule_files"] == ["/etc/prometheus/rules/*.yml"]
    services = parsed(ROOT / "docker-compose.yml")["services"]
    assert "./config/prometheus/rules:/etc/prometheus/rules:ro" in services["prometheus"]["volumes"]
    assert "./config/alertmanager:/etc/alertmanager:ro" in services["alertmanager"]["volumes"]


def test_alertmanager_tells_nobody_until_somebody_is_named() -> None:
    """Every route ends at a receiver that exists and has no address: alerts are on the page, and nowhere else."""
    config = parsed(ALERTMANAGER)
    route = config["route"]
    assert config["receivers"] == [{"name": route["receiver"]}]
    severities = {alert["labels"]["severity"] for alert in ALERTS.values()}
    for one in route["routes"]:
        assert one["receiver"] == route["receiver"]
        assert one["matchers"][0] in {f'severity="{severity}"' for severity in severities}


def test_alertmanager_keeps_back_what_exists() -> None:
    """A slip in a name would keep nothing back; no two alerts keep each other back."""
    pairs = set()
    for rule in parsed(ALERTMANAGER)["inhibit_rules"]:
        assert rule["equal"] == ["namespace"]
        sides = []
        for side in (rule["source_matchers"], rule["target_matchers"]):
            ((label, _, value),) = MATCHER.findall(side[0])
            assert label == "alertname"
            sides.append(value.split("|"))
        pairs |= {(source, target) for source in sides[0] for target in sides[1]}
    assert {name for pair in pairs for name in pair} <= ALERTS.keys()
    assert not {(source, target) for source, target in pairs if (target, source) in pairs}


def test_alertmanagers_own_tool_finds_no_fault(tmp_path: Path) -> None:
    """As it is, and with the receivers that stand there as comments."""
    assert not complaint("amtool", "check-config", ALERTMANAGER)
    text = ALERTMANAGER.read_text(encoding="utf-8")
    used = re.sub(r"^  # ((?:- |  )[\w ].*)$", r"  \1", text, flags=re.MULTILINE)
    changed = tmp_path / "alertmanager.yml"
    changed.write_text(used, encoding="utf-8")
    assert {"on-call", "tickets"} <= {one["name"] for one in parsed(changed)["receivers"]}
    assert not complaint("amtool", "check-config", changed)
