"""Panels, each with a unit, thresholds, what it says before there is anything to show, and how to read it."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.queries import Query
from dashboards.runbook import Section

SOURCE = dashboard.DataSourceRef("prometheus", "${datasource}")
RUNBOOK = "docs/RUNBOOK.md"

SHARE, SECONDS, EVENTS, EVENTS_PER_SECOND, REQUESTS_PER_SECOND = "percentunit", "s", "short", "eps", "reqps"
BYTES, CORES, CORE_SECONDS, COUNT, NUMBER = "bytes", "suffix: cores", "suffix: core-s", "none", "none"
NATS, LOSS, DEVIATIONS, PER_MINUTE = "suffix: nats", "none", "suffix: deviations", "suffix:/min"

GREEN, YELLOW, RED, BLUE, PURPLE, GREY = "green", "yellow", "red", "blue", "purple", "#8e8e8e"
ROLE_COLOURS = {"champion": GREEN, "challenger": BLUE, "previous": PURPLE, "frozen": GREY}
"""The same in every panel that tells models apart."""

WIDE = 16
"""Columns from which on a panel has room for the names of its series beside its lines."""

Steps = tuple[tuple[float, str], ...]
"""From which value on which colour; below the first it is green."""


@dataclass(frozen=True)
class Reading:
    """How to read a panel: what it ``shows``, what ``good`` looks like, what to do ``otherwise``.

    ``runbook`` names the alert whose section of the runbook goes on from there; ``empty`` is what the panel says while
    there is nothing to show.
    """

    shows: str
    good: str
    otherwise: str
    runbook: Section | None = None
    empty: str = "no events yet"

    def text(self) -> str:
        """Return it as a panel's description."""
        further = f" Runbook: {RUNBOOK}#{self.runbook.lower()}." if self.runbook else ""
        return f"{self.shows}\n\n**Good:** {self.good}\n\n**Otherwise:** {self.otherwise}{further}"


def timeseries(
    title: str,
    reading: Reading,
    *queries: Query,
    unit: str,
    steps: Steps = (),
    as_bars: bool = False,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    width: int = 8,
    colours: dict[str, str] | None = None,
    units: dict[str, str] | None = None,
) -> dashboard.Panel:
    """Return lines over time; ``steps`` are drawn across.

    ``as_bars`` stacks bars instead, for counts of what seldom happens; ``stacked`` stacks areas, for shares of a whole.
    ``colours`` and ``units`` are those of series whose name begins so, or has this in it.
    """
    beside = LegendPlacement.RIGHT if width >= WIDE else LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().show_legend(show_legend=True).placement(beside)
    legend = legend.display_mode(LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel = lines.Panel().legend(legend).tooltip(tooltip).line_width(2).show_points(VisibilityMode.NEVER)
    panel = panel.span_nulls(span_nulls=False)
    if as_bars or stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(70).line_width(0)
    if as_bars:
        panel = panel.draw_style(GraphDrawStyle.BARS)
    if steps:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    if least is not None:
        panel = panel.axis_soft_min(least)
    for name, colour in (colours or {}).items():
        fixed = {"mode": dashboard.FieldColorModeId.FIXED, "fixedColor": colour}
        panel = panel.override_by_regexp(f"/^{name}/", [dashboard.DynamicConfigValue("color", fixed)])
    for name, other in (units or {}).items():
        panel = panel.override_by_regexp(f"/{name}/", [dashboard.DynamicConfigValue("unit", other)])
    return _dressed(panel, title, reading, queries, unit=unit, steps=steps, most=most, size=(width, 8))


def value(
    title: str,
    reading: Reading,
    *queries: Query,
    unit: str,
    steps: Steps = (),
    first: str = GREEN,
    words: dict[float, tuple[str, str]] | None = None,
    decimals: int | None = None,
    width: int = 4,
    height: int = 4,
    names: bool = False,
    units: dict[str, str] | None = None,
) -> dashboard.Panel:
    """Return the newest value, large, with its course behind it where the query has one.

    Below the first step its colour is ``first``. ``words`` stand in place of values, each with a colour. ``names``
    shows what the series are called beside their values.
    """
    course = BigValueGraphMode.NONE if all(query.instant for query in queries) else BigValueGraphMode.AREA
    panel = stat.Panel().graph_mode(course).color_mode(BigValueColorMode.VALUE).reduce_options(_newest())
    panel = panel.text_mode(BigValueTextMode.VALUE_AND_NAME if names else BigValueTextMode.VALUE)
    for name, other in (units or {}).items():
        panel = panel.override_by_regexp(f"/{name}/", [dashboard.DynamicConfigValue("unit", other)])
    return _dressed(
        panel,
        title,
        reading,
        queries,
        unit=unit,
        steps=steps,
        first=first,
        words=words,
        decimals=decimals,
        size=(width, height),
    )


def bars(
    title: str,
    reading: Reading,
    *queries: Query,
    unit: str,
    steps: Steps = (),
    most: float | None = None,
    width: int = 8,
) -> dashboard.Panel:
    """Return one horizontal bar a series, of its newest value."""
    panel = bargauge.Panel().orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC)
    panel = panel.reduce_options(_newest()).min(0)
    return _dressed(panel, title, reading, queries, unit=unit, steps=steps, most=most, size=(width, 8))


def listing(
    title: str, reading: Reading, query: Query, *, unit: str, columns: dict[str, str], width: int = 12
) -> dashboard.Panel:
    """Return a table of the newest values: one line a series, its labels and its value under names of our own.

    ``columns`` are those to show, in order, from label (``Value`` for the value) to the column's name.
    """
    order = {name: index for index, name in enumerate(columns)}
    chosen = dashboard.DataTransformerConfig(
        "organize",
        options={"includeByName": dict.fromkeys(columns, True), "indexByName": order, "renameByName": columns},
    )
    panel = table.Panel().show_header(show_header=True).with_transformation(chosen)
    return _dressed(panel, title, reading, (query,), unit=unit, as_table=True, size=(width, 8))


def _dressed(
    builder: Builder[dashboard.Panel],
    title: str,
    reading: Reading,
    queries: Sequence[Query],
    *,
    unit: str,
    size: tuple[int, int],
    steps: Steps = (),
    first: str = GREEN,
    words: dict[float, tuple[str, str]] | None = None,
    decimals: int | None = None,
    most: float | None = None,
    as_table: bool = False,
) -> dashboard.Panel:
    """Return the panel with all that every panel has."""
    panel = builder.build()
    panel.title, panel.description, panel.datasource = title, reading.text(), SOURCE
    panel.grid_pos = dashboard.GridPos(w=size[0], h=size[1])
    panel.targets = [_target(query, index, as_table=as_table).build() for index, query in enumerate(queries)]
    panel.field_config = panel.field_config or dashboard.FieldConfigSource()
    looks = panel.field_config.defaults
    looks.unit, looks.no_value, looks.decimals, looks.max_val = unit, reading.empty, decimals, most
    looks.thresholds = dashboard.ThresholdsConfig(
        dashboard.ThresholdsMode.ABSOLUTE,
        [dashboard.Threshold(None, first), *(dashboard.Threshold(value, colour) for value, colour in steps)],
    )
    looks.mappings = [_worded(words or {}), _nothing(reading.empty)] if words else [_nothing(reading.empty)]
    return panel


def _target(query: Query, index: int, *, as_table: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + index))
    target = target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES).datasource(SOURCE)
    return target.instant() if query.instant else target.range()


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)


def _worded(words: dict[float, tuple[str, str]]) -> dashboard.ValueMap:
    results = {f"{value:g}": dashboard.ValueMappingResult(*found) for value, found in words.items()}
    return dashboard.ValueMap(results)


def _nothing(empty: str) -> dashboard.SpecialValueMap:
    """Say in words what NaN means: nothing to make a number of."""
    result = dashboard.ValueMappingResult(text=empty, color=GREY)
    return dashboard.SpecialValueMap(
        dashboard.DashboardSpecialValueMapOptions(dashboard.SpecialValueMatch.NULL_AND_NAN, result)
    )
