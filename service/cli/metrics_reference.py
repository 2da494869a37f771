"""Writes docs/METRICS.md from the metrics' code: `python -m service.cli.metrics_reference > docs/METRICS.md`."""

import sys
from collections.abc import Mapping

from prometheus_client.metrics_core import Metric

from service.cli.metrics_topics import TOPICS, UNITS, UNITS_OF
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
Units are base units: seconds, bytes, events; a ratio is a share between 0 and 1 if nothing else is said.
Counters begin at 0 with the process, and so does every value of a label that is known beforehand.
Gauges that have no value yet are `NaN`, since 0 would be read as a perfect loss.
A histogram is exported as `…_bucket`, `…_sum` and `…_count`.
*Set by you* are values of labels that come from your configuration or your topics.
[MONITORING.md](MONITORING.md) shows the dashboards, [RUNBOOK.md](RUNBOOK.md) tells what to do when an alert fires.
"""

HEAD = "| name | type | unit | from | labels | meaning |\n|---|---|---|---|---|---|\n"

YOURS = "set by you"
ANY_ID = "the checkpoint's id"
IN_WORDS = (YOURS, ANY_ID)
"""Stand for values that nobody knows beforehand."""

DEFAULTS = {"member": "by default, in a classification, "}
"""Labels whose values are told as they are unless configured otherwise."""

Families = Mapping[str, Metric]


def metrics_reference() -> str:
    """Return the page; raises ValueError if a metric has no topic or no unit, or a topic names one that is not."""
    settings = Settings.model_validate({"schema": {"categorical": [YOURS], "nullable": [YOURS]}})
    server = ServerObserver(answers=KNOWN_ANSWERS, shadows=[YOURS])
    server.serving(ANY_ID, 0.0, 0.0)
    classifying, regressing = _families(_trainer(settings)), _families(TrainerObserver("regression"))
    sources = {
        "trainer": {name: family for name, family in classifying.items() if name in regressing},
        "trainer, unless a regression": {n: family for n, family in classifying.items() if n not in regressing},
        "trainer, in a regression": {n: family for n, family in regressing.items() if n not in classifying},
        "server": _families(server),
    }
    found = {name: family for families in reversed(sources.values()) for name, family in families.items()}
    listed = [name for topic in TOPICS for name in topic.metrics]
    for name in sorted({*listed} ^ found.keys()):
        raise ValueError(f"{name}: TOPICS must name each metric that there is; {len(listed)} named, {len(found)} exist")
    sections = [INTRODUCTION]
    for topic in TOPICS:
        rows = (_row(found[name], [role for role, has in sources.items() if name in has]) for name in topic.metrics)
        sections.append(f"## {topic.title}\n\n{topic.question}\n\n{HEAD}" + "\n".join(rows) + "\n")
    return "\n".join(sections)


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


def _families(observer: PrometheusObserver) -> dict[str, Metric]:
    """Return an observer's metrics by the name that they are asked for by."""
    found = observer.registry.collect()
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in found}


def _row(family: Metric, roles: list[str]) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    values = _labels(family)
    if name == "freshet_ready":  # each process exports its own
        values["role"] = roles
    labels = "<br>".join(_label(label, known) for label, known in values.items())
    meaning = family.documentation.replace("|", chr(92) + "|")
    return f"| `{name}` | {family.type} | {_unit(name)} | {', '.join(roles)} | {labels} | {meaning} |"


def _labels(family: Metric) -> dict[str, list[str]]:
    """Return each label with the values that it is known to take, in the order of the code."""
    found: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                found.setdefault(label, {})[value] = None
    return {label: list(values) for label, values in found.items()}


def _label(name: str, values: list[str]) -> str:
    if name == "partition":
        return f"`{name}`: {YOURS}"
    if name == "status":
        values = sorted(values)
    told = [value if value in IN_WORDS else f"`{value}`" for value in values]
    return f"`{name}`: {DEFAULTS.get(name, '')}{', '.join(told)}"


def _unit(name: str) -> str:
    """Return the unit that a name says, or that is told for it."""
    if name in UNITS_OF:
        return UNITS_OF[name]
    last = name.removesuffix("_total").rpartition("_")[2]
    if last not in UNITS:
        raise ValueError(f"{name}: UNITS_OF must tell its unit, for its name does not")
    return "Unix time in seconds" if name.endswith(("timestamp_seconds", "start_time_seconds")) else last


if __name__ == "__main__":
    sys.stdout.write(metrics_reference())
