"""How right models are, whatever the task: accuracy, or the mean absolute error of a regression in its place."""

from grafana_foundation_sdk.models import dashboard

from dashboards.panels import NUMBER, ROLE_COLOURS, SHARE, Reading, timeseries
from dashboards.queries import Query, largest, named
from dashboards.runbook import Section

ACCURACY, MAE = "freshet_prequential_accuracy", "freshet_prequential_mae"
CHAMPION, FROZEN = 'model="champion"', 'model="frozen"'

ERROR = "mean absolute error"
UNITS = {ERROR: NUMBER}
"""A regression's series are told by their name: they are in units of the label, and no shares."""


def score(model: str) -> str:
    """Return how right the newest predictions were of each model whose role matches."""
    accuracy, error = (largest(name, f'model=~"{model}"', by="model") for name in (ACCURACY, MAE))
    return _either(accuracy, error)


def gain() -> str:
    """Return how much better the champion is than the frozen model: accuracy more, or error less."""
    accuracy = f"{largest(ACCURACY, CHAMPION)} - {largest(ACCURACY, FROZEN)}"
    error = f"{largest(MAE, FROZEN)} - {largest(MAE, CHAMPION)}"
    return _either(accuracy, error)


def course(width: int) -> dashboard.Panel:
    """Return the chosen models' scores over time."""
    return timeseries(
        "How right each model is on new events",
        Reading(
            "Share of right predictions (regression: mean absolute error) on the newest `window.events` events, each "
            "predicted before it was learnt. `champion` serves, `frozen` is the model as it was before the stream, "
            "`challenger` is being trained, `previous` served before.",
            "After a drift `frozen` stays down and `champion` comes back up. Marks are promotions and drift alarms.",
            "if `champion` stays down too, see *Freshet: Learning* for what the gate decides, and *Freshet: Drift* for "
            "what has changed. If `champion` is below `previous` for long, the gate will roll back by itself.",
            runbook=Section.DRIFT,
        ),
        Query(score("$model"), "{{model}}{{measure}}"),
        unit=SHARE,
        least=None,
        width=width,
        colours=ROLE_COLOURS,
        units=UNITS,
    )


def _either(accuracy: str, error: str) -> str:
    return f"{accuracy} or {named('measure', f' ({ERROR})', error)}"
