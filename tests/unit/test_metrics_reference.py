"""docs/METRICS.md is what the code gives, and tells of every metric that is promised to others."""

import re
from pathlib import Path

import pytest

from service.cli.metrics_reference import metrics_reference

PAGE = Path(__file__).parents[2] / "docs" / "METRICS.md"

PROMISED: dict[str, dict[str, set[str]]] = {
    "freshet_events_consumed_total": {"topic": set(), "partition": set()},
    "freshet_events_rejected_total": {"reason": {"too_large", "not_json", "bad_timestamp"}},
    "freshet_dead_letters_total": {"outcome": {"sent", "failed"}},
    "freshet_consumer_lag_events": {"topic": set(), "partition": set()},
    "freshet_partition_last_progress_timestamp_seconds": {"topic": set(), "partition": set()},
    "freshet_window_events": {},
    "freshet_replay_events": {},
    "freshet_heldout_events": {},
    "freshet_prequential_loss": {"model": {"champion", "challenger", "previous", "frozen"}},
    "freshet_prequential_accuracy": {"model": {"champion", "challenger", "previous", "frozen"}},
    "freshet_prequential_mae": {"model": {"champion", "challenger", "previous", "frozen"}},
    "freshet_drift_score": {"feature": set(), "kind": {"psi", "concept"}},
    "freshet_drift_alarms_total": {"kind": {"data", "prediction", "concept"}},
    "freshet_triggers_total": {"reason": {"first_events", "new_events", "elapsed"}},
    "freshet_rounds_total": {"outcome": {"promoted", "rejected", "failed", "rolled_back"}},
    "freshet_round_duration_seconds": {"phase": {"train", "publish"}},
    "freshet_training_loss": {},
    "freshet_gate_decisions_total": {"decision": {"promote", "reject", "rollback"}, "reason": {"forward_better"}},
    "freshet_heldout_loss": {"slice": {"recent", "memory"}, "role": {"champion", "challenger"}},
    "freshet_snapshot_duration_seconds": {},
    "freshet_worker_restarts_total": {"cause": {"crash", "hang", "deadline"}},
    "freshet_poll_gap_seconds": {},
    "freshet_checkpoint_info": {"id": set()},
    "freshet_checkpoint_timestamp_seconds": {},
    "freshet_trained_until_timestamp_seconds": {},
    "freshet_swaps_total": {"outcome": {"swapped", "damaged", "failed"}},
    "freshet_event_to_served_seconds": {},
    "freshet_request_duration_seconds": {"route": {"/v1/predict"}, "status": {"200", "422", "503"}},
    "freshet_batch_instances": {},
    "freshet_requests_in_flight": {},
}
"""What dashboards and users' scripts rely on: labels, and some of their values."""


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """Return the cells of each metric's row by its name."""
    found: dict[str, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `freshet_"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            name = cells[0].strip("`")
            assert name not in found, f"{name} is told twice"
            found[name] = cells[1:]
    return found


def test_the_page_is_what_the_code_gives() -> None:
    """Else: python -m service.cli.metrics_reference > docs/METRICS.md."""
    assert PAGE.read_text(encoding="utf-8") == metrics_reference()


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_metric_is_told_with_its_labels(rows: dict[str, list[str]], name: str) -> None:
    """Exactly the promised labels, the known values among theirs."""
    labels = dict(part.split(": ", 1) for part in rows[name][2].split("<br>") if part)
    assert {label.strip("`") for label in labels} == set(PROMISED[name])
    for label, values in PROMISED[name].items():
        assert values <= set(re.findall(r"`([^`]+)`", labels[f"`{label}`"])), (label, labels)


def test_every_metric_says_what_it_is(rows: dict[str, list[str]]) -> None:
    """A type that Prometheus knows, a unit where the name has one, and a sentence."""
    assert rows.keys() >= PROMISED.keys()
    for name, (kind, unit, _, meaning) in rows.items():
        assert kind in ("counter", "gauge", "histogram"), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert unit or not re.search(r"_(seconds|events|ratio|instances)(_total)?$", name), name
        assert meaning.endswith("."), name
