"""docs/METRICS.md is what the code gives, and tells of every metric that is promised to others."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from service.cli import metrics_reference as page
from service.cli.metrics_reference import metrics_reference

PAGE = Path(__file__).parents[2] / "docs" / "METRICS.md"

Labels = dict[str, set[str]]

SOURCE: Labels = {"topic": set(), "partition": set()}
MODELS: Labels = {"model": {"champion", "challenger", "previous", "frozen"}}

PROMISED: dict[str, tuple[str, str, Labels]] = {
    "freshet_events_consumed_total": ("counter", "trainer", SOURCE),
    "freshet_events_rejected_total": ("counter", "trainer", {"reason": {"too_large", "not_json", "bad_timestamp"}}),
    "freshet_dead_letters_total": ("counter", "trainer", {"outcome": {"sent", "failed"}}),
    "freshet_consumer_lag_events": ("gauge", "trainer", SOURCE),
    "freshet_partition_last_progress_timestamp_seconds": ("gauge", "trainer", SOURCE),
    "freshet_window_events": ("gauge", "trainer", {}),
    "freshet_replay_events": ("gauge", "trainer", {}),
    "freshet_heldout_events": ("gauge", "trainer", {}),
    "freshet_prequential_loss": ("gauge", "trainer", MODELS),
    "freshet_prequential_accuracy": ("gauge", "trainer", MODELS),
    "freshet_prequential_mae": ("gauge", "trainer", MODELS),
    "freshet_drift_score": ("gauge", "trainer", {"feature": {"model"}, "kind": {"psi", "concept"}}),
    "freshet_drift_alarms_total": ("counter", "trainer", {"kind": {"data", "prediction", "concept"}}),
    "freshet_triggers_total": ("counter", "trainer", {"reason": {"first_events", "new_events", "elapsed"}}),
    "freshet_rounds_total": ("counter", "trainer", {"outcome": {"promoted", "rejected", "failed", "rolled_back"}}),
    "freshet_round_duration_seconds": ("histogram", "trainer", {"phase": {"train", "publish"}}),
    "freshet_training_loss": ("gauge", "trainer", {}),
    "freshet_gate_decisions_total": (
        *("counter", "trainer"),
        {"decision": {"promote", "reject", "rollback"}, "reason": {"forward_better"}},
    ),
    "freshet_heldout_loss": (
        *("gauge", "trainer"),
        {"slice": {"recent", "memory"}, "role": {"champion", "challenger"}},
    ),
    "freshet_snapshot_duration_seconds": ("histogram", "trainer", {}),
    "freshet_worker_restarts_total": ("counter", "trainer", {"cause": {"crash", "hang", "deadline"}}),
    "freshet_poll_gap_seconds": ("histogram", "trainer", {}),
    "freshet_checkpoint_info": ("gauge", "server", {"id": set()}),
    "freshet_checkpoint_timestamp_seconds": ("gauge", "server", {}),
    "freshet_trained_until_timestamp_seconds": ("gauge", "server", {}),
    "freshet_swaps_total": ("counter", "server", {"outcome": {"swapped", "damaged", "failed"}}),
    "freshet_event_to_served_seconds": ("histogram", "server", {}),
    "freshet_request_duration_seconds": (
        *("histogram", "server"),
        {"route": {"/v1/predict"}, "status": {"200", "422", "503"}},
    ),
    "freshet_batch_instances": ("histogram", "server", {}),
    "freshet_requests_in_flight": ("gauge", "server", {}),
}
"""What dashboards and users' scripts rely on: type, who exports it, labels, and some of their values."""


class Row(NamedTuple):
    """What the page tells of a metric."""

    kind: str
    unit: str
    roles: str
    labels: str
    meaning: str


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Return each metric's row by its name."""
    found: dict[str, Row] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| `(freshet|process)_", line):
            name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            name = name.strip("`")
            assert name not in found, f"{name} is told twice"
            found[name] = Row(*cells)
    return found


def test_the_page_is_what_the_code_gives() -> None:
    """Else: python -m service.cli.metrics_reference > docs/METRICS.md."""
    assert PAGE.read_text(encoding="utf-8") == metrics_reference()


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_metric_is_told_with_type_role_and_labels(rows: dict[str, Row], name: str) -> None:
    """Exactly the promised labels, the known values among theirs."""
    kind, role, wanted = PROMISED[name]
    row = rows[name]
    assert row.kind == kind
    assert role in re.findall(r"\w+", row.roles)
    labels = dict(part.split(": ", 1) for part in row.labels.split("<br>") if part)
    assert {label.strip("`") for label in labels} == set(wanted)
    for label, values in wanted.items():
        assert values <= set(re.findall(r"`([^`]+)`", labels[f"`{label}`"])), (label, labels)


def test_every_metric_says_what_it_is(rows: dict[str, Row]) -> None:
    """A type, the unit that the name has or another, who exports it, and a sentence."""
    assert rows.keys() >= PROMISED.keys()
    for name, row in rows.items():
        assert name.endswith("_total") == (row.kind == "counter"), name
        ending = re.search(r"_(seconds|bytes|events|ratio|instances)(_total)?$", name)
        assert row.unit, name
        assert ending is None or ending[1] in row.unit, name
        assert row.roles, name
        assert row.meaning.endswith("."), name


def test_a_metric_without_a_place_on_the_page_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who adds a metric is told to give it a topic, and a unit where its name has none."""
    with monkeypatch.context() as patch:
        patch.setattr(page, "TOPICS", page.TOPICS[1:])
        with pytest.raises(ValueError, match=r"^freshet_consumer_lag_events: TOPICS must"):
            metrics_reference()
    monkeypatch.delitem(page.UNITS_OF, "freshet_pinned")
    with pytest.raises(ValueError, match=r"^freshet_pinned: UNITS_OF must"):
        metrics_reference()
