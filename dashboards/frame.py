"""Puts panels together to a dashboard: rows, places, variables, annotations, and links to the others."""

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import BLUE, RED, SOURCE
from dashboards.queries import HERE, at

TAG = "freshet"
COLUMNS = 24
Line = Sequence[dashboard.Panel]
Row = tuple[str, Sequence[Line]]
"""A heading and the lines of panels under it; a line's panels are beside one another."""

ALL = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])


class Annotation(dashboard.AnnotationQuery):
    """One from Prometheus, with fields that Grafana's Prometheus data source reads and its schema does not list.

    With ``value_is_time`` the value is the time, in Unix milliseconds, and the event is put there.
    """

    def __init__(self, name: str, expr: str, text: str, colour: str, *, value_is_time: bool) -> None:
        super().__init__(name=name, datasource=SOURCE, enable=True, icon_color=colour, expr=expr)
        self.text = text
        self.value_is_time = value_is_time

    def to_json(self) -> dict[str, object]:
        """Return it as Grafana reads it."""
        return super().to_json() | {"titleFormat": self.text, "useValueForTime": self.value_is_time, "step": "15s"}


PROMOTIONS = Annotation(
    "Promotions",
    f"max by (id) (1000 * {at('freshet_checkpoint_timestamp_seconds')}"
    f" * on (job, instance) group_left (id) {at('freshet_checkpoint_info')})",
    "Checkpoint {{id}} was made, and serves",
    BLUE,
    value_is_time=True,
)
ALARMS = Annotation(
    "Drift alarms",
    f"sum by (kind) (increase({at('freshet_drift_alarms_total')}[$__rate_interval])) > 0",
    "Drift alarm: {{kind}}",
    RED,
    value_is_time=False,
)


def instances(metric: str) -> build.QueryVariable:
    """Return the choice of the processes that export a metric."""
    return _choice("instance", "Instance", f"label_values({metric}, instance)", "Which process; a standby counts too.")


def models() -> build.QueryVariable:
    """Return the choice of the models that are compared: champion, challenger, previous, frozen."""
    query = f"label_values(freshet_prequential_loss{{{HERE}}}, model)"
    return _choice("model", "Model", query, "By its role: champion serves, frozen is as it was pre-trained.")


def features() -> build.QueryVariable:
    """Return the choice of features whose drift is shown."""
    query = f'label_values(freshet_drift_score{{{HERE},feature!="model"}}, feature)'
    return _choice("feature", "Feature", query, "Whose values are compared with the champion's training data.")


def assemble(
    name: str,
    description: str,
    rows: Sequence[Row],
    variables: Sequence[build.QueryVariable],
    annotations: Sequence[dashboard.AnnotationQuery] = (PROMOTIONS, ALARMS),
) -> dashboard.Dashboard:
    """Return a dashboard of rows; its uid is `freshet-` and the name in lower case."""
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    source = source.current(dashboard.VariableOption(selected=True, text="Prometheus", value="prometheus"))
    frame = build.Dashboard(f"Freshet: {name}").uid(f"freshet-{name.lower()}").description(description).tags([TAG])
    frame = frame.refresh("10s").time("now-15m", "now").tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    frame = frame.timezone("browser").link(_others()).with_variable(source)
    for variable in variables:
        frame = frame.with_variable(variable)
    made = frame.build()
    made.annotations.list_val = list(annotations)
    made.panels = _placed(rows)
    return made


def as_text(made: dashboard.Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana reads, the same each time."""
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_plain(made: dashboard.Dashboard) -> dict[str, Any]:
    """Return a dashboard as plain values."""
    plain: dict[str, Any] = json.loads(as_text(made))
    return plain


def _placed(rows: Sequence[Row]) -> list[dashboard.Panel | dashboard.RowPanel]:
    """Return headings and panels, numbered, and each in its place on a grid of 24 columns."""
    placed: list[dashboard.Panel | dashboard.RowPanel] = []
    y = 0
    for heading, lines in rows:
        row = build.Row(heading).id(len(placed) + 1).grid_pos(dashboard.GridPos(h=1, w=COLUMNS, x=0, y=y))
        placed.append(row.build())
        y += 1
        for line in lines:
            x, height = 0, 0
            for panel in line:
                spot = panel.grid_pos or dashboard.GridPos()
                panel.id_val, panel.grid_pos = len(placed) + 1, dashboard.GridPos(h=spot.h, w=spot.w, x=x, y=y)
                placed.append(panel)
                x, height = x + spot.w, max(height, spot.h)
            y += height
    return placed


def _choice(name: str, label: str, query: str, description: str) -> build.QueryVariable:
    chosen = build.QueryVariable(name).label(label).description(description).datasource(SOURCE).query(query)
    chosen = chosen.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    chosen = chosen.sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    return chosen.multi(multi=True).include_all(include_all=True).all_value(".*").current(ALL)


def _others() -> build.DashboardLink:
    link = build.DashboardLink("Freshet").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.keep_time(keep_time=True)
