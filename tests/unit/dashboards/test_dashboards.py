"""The dashboards: the files are what the code gives, and every panel can be read by somebody who did not make it."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.__main__ import write
from dashboards.every import EVERY
from dashboards.frame import as_plain
from dashboards.runbook import Section
from service.metrics import ServerObserver, TrainerObserver

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "config" / "grafana" / "dashboards"
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
MADE = {name: as_plain(make()) for name, make in EVERY.items()}
PANELS = [panel for made in MADE.values() for panel in made["panels"] if panel["type"] != "row"]
OF_PROMETHEUS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported() -> set[str]:
    """Return the names of all series that trainer and server export, whatever the task."""
    observers = (TrainerObserver("binary"), TrainerObserver("regression"), ServerObserver())
    return {
        metric.name + suffix
        for observer in observers
        for metric in observer.registry.collect()
        for suffix in SUFFIXES.get(metric.type, ())
        if metric.name.startswith("freshet_")
    }


def expressions(made: dict[str, Any]) -> list[str]:
    """Return every expression of a dashboard, of its annotations and its variables too."""
    targets = [target["expr"] for panel in made["panels"] for target in panel.get("targets", [])]
    notes = [note["expr"] for note in made["annotations"].get("list", [])]
    variables = made["templating"]["list"]
    return [*targets, *notes, *(one["query"] for one in variables if one["type"] == "query")]


def test_the_files_are_what_the_code_gives(tmp_path: Path) -> None:
    """No more and no fewer, to the byte; otherwise `make dashboards` writes them anew."""
    write(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written.keys() == {path.name for path in FOLDER.iterdir()}
    changed = [name for name, text in written.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert not changed, "run: make dashboards"


@pytest.mark.parametrize("name", EVERY)
def test_grafanas_own_types_understand_a_dashboard(name: str) -> None:
    """Nothing of it is lost on the way through the SDK, but for fields of Prometheus' annotations."""
    register_default_plugins()
    plain = json.loads(json.dumps(MADE[name]))
    for note in plain["annotations"].get("list", []):
        assert note.keys() >= {"step", "titleFormat", "useValueForTime"}
        del note["step"], note["titleFormat"], note["useValueForTime"]
    again = json.loads(json.dumps(Dashboard.from_json(plain), cls=JSONEncoder))
    for panel in again["panels"]:
        if panel["type"] == "table":
            del panel["fieldConfig"]["defaults"]["custom"]  # the SDK's own defaults
    assert again == plain


def test_no_two_dashboards_have_one_address() -> None:
    """A uid is what links and bookmarks hold on to."""
    assert sorted(made["uid"] for made in MADE.values()) == sorted(f"freshet-{name}" for name in MADE)


@pytest.mark.parametrize("name", EVERY)
def test_panels_have_their_own_numbers_and_places(name: str) -> None:
    """No number twice, nothing beyond the 24 columns, nothing over another, no hole beside."""
    panels = MADE[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: list[set[tuple[int, int]]] = []
    for panel in panels:
        x, y, width, height = (panel["gridPos"][key] for key in "xywh")
        assert x + width <= 24, panel["title"]
        cells.append({(column, row) for column in range(x, x + width) for row in range(y, y + height)})
    assert not [(a, b) for a, b in combinations(range(len(cells)), 2) if cells[a] & cells[b]]
    taken = set().union(*cells)
    assert len(taken) == 24 * (1 + max(row for _, row in taken)), "a line of panels is not full"


def test_every_panel_explains_itself() -> None:
    """Unit, thresholds, a word for nothing, named series, and what is good and what to do otherwise."""
    for panel in PANELS:
        title, looks = panel["title"], panel["fieldConfig"]["defaults"]
        assert looks["unit"], title
        assert looks["thresholds"]["steps"], title
        assert looks["noValue"], title
        nothing = {"match": "null+nan", "result": {"text": looks["noValue"], "color": "#8e8e8e"}}
        assert nothing in [mapping["options"] for mapping in looks["mappings"]], title
        told = r"[A-Z0-9].*[.]\n\n\*\*Good:\*\* \S.*[.]\n\n\*\*Otherwise:\*\* \S.*[.]"
        assert re.fullmatch(told, panel["description"]), panel["description"]
        assert panel["targets"], title
        for target in panel["targets"]:
            assert target["legendFormat"], title
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, title


def test_the_alerts_that_panels_name_exist() -> None:
    """And none is named that no panel leads to."""
    rules = [yaml.safe_load(file.read_text()) for file in (ROOT / "config" / "prometheus" / "rules").glob("*.yml")]
    alerts = {rule.get("alert") for file in rules for group in file["groups"] for rule in group["rules"]}
    assert set(Section) <= alerts
    text = "".join(panel["description"] for panel in PANELS)
    assert not [section for section in Section if f"#{section.lower()}." not in text]


def test_the_sections_of_the_runbook_that_panels_name_exist() -> None:
    """Whoever reads a panel in the night finds how to go on."""
    headings = re.findall(r"^##+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    named = {name for panel in PANELS for name in re.findall(r"docs/RUNBOOK\.md#([\w-]+)", panel["description"])}
    assert named
    assert named <= anchors


@pytest.mark.parametrize("name", EVERY)
def test_a_dashboard_asks_for_what_is_exported(name: str) -> None:
    """No name but those of trainer and server, and the few that Prometheus and its client give any process."""
    known = exported() | OF_PROMETHEUS
    text = "\n".join(expressions(MADE[name]))
    named = set(re.findall(r"\b([a-zA-Z_]\w+)(?=\{)|label_values\((\w+)|\b(freshet_\w+)", text))
    assert {found for names in named for found in names if found} <= known


@pytest.mark.parametrize("name", EVERY)
def test_counters_are_made_rates_before_they_are_summed(name: str) -> None:
    """Else a process that starts again looks like a fall. What is only asked whether it ever counted is no rate."""
    for expr in expressions(MADE[name]):
        assert not re.search(r"\b(rate|increase)\((?!\w+\{)", expr), expr
        for use in re.finditer(r"(\S*)\b\w+_(total|bucket|sum|count)\{[^}]*\}(\S*)( > 0)?", expr):
            before, after, compared = use[1], use[3], use[4]
            assert compared or (before.endswith(("rate(", "increase(")) and after.startswith("[$__")), expr


@pytest.mark.parametrize("name", EVERY)
def test_a_dashboard_can_be_narrowed(name: str) -> None:
    """By instance in every expression that names ours, by model where models are told apart; no choice is in vain."""
    made = MADE[name]
    names = {one["name"] for one in made["templating"]["list"]}
    assert {"datasource", "instance"} <= names
    text = "\n".join(expressions(made))
    used = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval", "__range"}
    assert used == names - {"datasource"}
    selectors = re.findall(r"\b(freshet_\w+|process_\w+)\{([^}]*)\}", text)
    assert selectors
    assert all('instance=~"$instance"' in matchers for _, matchers in selectors)


def test_models_are_told_apart_in_every_dashboard_about_learning() -> None:
    """Champion, challenger, previous and frozen."""
    by_model = {name for name, made in MADE.items() if "model" in {one["name"] for one in made["templating"]["list"]}}
    assert by_model == {"overview", "learning", "drift"}


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    """What is provisioned fits what the dashboards name and how often Prometheus scrapes."""
    provisioning = ROOT / "config" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "freshet.yaml").read_text())["providers"]
    prometheus = yaml.safe_load((ROOT / "config" / "prometheus" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    for made in MADE.values():
        chosen = made["templating"]["list"][0]
        assert (chosen["type"], chosen["query"], chosen["current"]["value"]) == (
            "datasource",
            "prometheus",
            source["uid"],
        )
