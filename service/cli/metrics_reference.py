"""Writes docs/METRICS.md from the metrics' code: `python -m service.cli.metrics_reference > docs/METRICS.md`."""

import sys
from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from service.drift.monitor import watched
from service.learner.portfolio import recipes_of
from service.metrics import PrometheusObserver, ServerObserver, TrainerObserver
from service.serve.api import KNOWN_ANSWERS
from service.settings import Settings
from service.validate.gate import DECISION_REASONS

INTRODUCTION = """\
# Metrics

<!-- Written by `python -m service.cli.metrics_reference > docs/METRICS.md`; a test holds it current. -->

What `/metrics` of a trainer (`trainer.port`, 8001) and of a server (`serve.port`, 8000) tells Prometheus.
Units are base units and stand in the names: seconds, events, a share between 0 and 1 as `ratio`.
Counters begin at 0 with the process, and so does every value of a label that is known beforehand.
Gauges that have no value yet are `NaN`, since 0 would be read as a perfect loss.
A histogram is exported as `…_bucket`, `…_sum` and `…_count`.
Prequential values are means over the newest `window.events` events, each scored before it was learnt.
*Set by you* are values that come from your configuration or your topics; of the portfolio, the default members.

Both also export what Prometheus' own library tells of a process on Linux: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`,
`process_max_fds`.

[MONITORING.md](MONITORING.md) shows the dashboards, [RUNBOOK.md](RUNBOOK.md) tells what to do when an alert fires.
"""

HEAD = "| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n"

UNITS = ("seconds", "events", "instances", "ratio", "requests")
UNITS_OF = {
    "freshet_prequential_accuracy": "ratio",
    "freshet_prequential_loss": "nats, or squared label units",
    "freshet_prequential_mae": "label units",
    "freshet_training_loss": "nats, or squared label units",
    "freshet_heldout_loss": "nats, or squared label units",
    "freshet_events_rejected": "events",
    "freshet_events_consumed": "events",
    "freshet_events_evicted_unlearnt": "events",
    "freshet_dead_letters": "events",
    "freshet_shadow_agreed": "instances",
    "freshet_shadow_dropped": "instances",
}
"""Units that no name ends in; what is neither here nor there is a plain count, or a state."""

YOURS = "set by you"
ANY_ID = "the checkpoint's id"
IN_WORDS = (YOURS, ANY_ID)
"""Stand for values that nobody knows beforehand."""

ROLES = ["trainer", "server"]


def metrics_reference() -> str:
    """Return the page."""
    settings = Settings.model_validate({"schema": {"categorical": [YOURS], "nullable": [YOURS]}})
    trainers = [_trainer(settings), TrainerObserver("regression")]
    server = ServerObserver(answers=KNOWN_ANSWERS, shadows=[YOURS])
    server.serving(ANY_ID, 0.0, 0.0)
    of_trainer, of_server = _families(trainers), _families([server])
    both = of_trainer.keys() & of_server.keys()
    sections = (
        ("Both", {name: of_trainer[name] for name in of_trainer if name in both}),
        ("Trainer", {name: of_trainer[name] for name in of_trainer if name not in both}),
        ("Server", {name: of_server[name] for name in of_server if name not in both}),
    )
    pages = [f"## {title}\n\n{HEAD}" + "\n".join(map(_row, found.values())) + "\n" for title, found in sections]
    return "\n".join([INTRODUCTION, *pages])


def _trainer(settings: Settings) -> TrainerObserver:
    """Return the metrics of a trainer that has seen one partition of one topic."""
    observer = TrainerObserver(
        settings.task, decisions=DECISION_REASONS, drift=watched(settings.schema_), members=recipes_of(settings)
    )
    observer.consumed(YOURS, 0, 0)
    observer.positions_gone(YOURS, 0, 0)
    observer.lagged(YOURS, 0, 0)
    observer.progressed(YOURS, 0, 0)
    return observer


def _families(observers: Iterable[PrometheusObserver]) -> dict[str, Metric]:
    """Return our own metrics by name; the first observer that has one tells of it."""
    found: dict[str, Metric] = {}
    for observer in observers:
        for family in observer.registry.collect():
            if family.name.startswith("freshet_"):
                found.setdefault(family.name, family)
    return found


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = "<br>".join(_label(label, values) for label, values in _labels(family).items())
    meaning = family.documentation.replace("|", chr(92) + "|")
    return f"| `{name}` | {family.type} | {_unit(family.name)} | {labels} | {meaning} |"


def _labels(family: Metric) -> dict[str, list[str]]:
    """Return each label with the values that it is known to take, in the order of the code."""
    found: dict[str, list[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values = found.setdefault(label, [])
            if label != "le" and value not in values:
                values.append(value)
    found.pop("le", None)
    if family.name == "freshet_ready":  # each process exports its own
        found["role"] = ROLES
    return found


def _label(name: str, values: list[str]) -> str:
    if name == "partition":
        return f"`{name}`: {YOURS}"
    if name == "status":
        values = sorted(values)
    told = [value if value in IN_WORDS else f"`{value}`" for value in values]
    return f"`{name}`: {', '.join(told)}"


def _unit(name: str) -> str:
    if name in UNITS_OF:
        return UNITS_OF[name]
    last = name.rpartition("_")[2]
    return ("Unix time, seconds" if "timestamp" in name else last) if last in UNITS else ""


if __name__ == "__main__":
    sys.stdout.write(metrics_reference())
