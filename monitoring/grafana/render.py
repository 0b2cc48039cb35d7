"""Boards as Grafana's JSON, by the builders of Grafana's own SDK (schema of Grafana 11.6; 12 reads it too)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    FieldColorModeId,
    GridPos,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from monitoring.grafana.board import COLUMNS, GREEN, RED, Board, Kind, Panel, Row, Unit

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "tonearm"
SCRAPED = "10s"
"""How often monitoring/prometheus/prometheus.yml scrapes: no step is shorter."""

_Builder = timeseries.Panel | stat.Panel | bargauge.Panel


def text(board: Board) -> str:
    """The file of a board."""
    return json.dumps(build(board), cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def build(board: Board) -> object:
    """Grafana's model of a board."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"tonearm-{board.name}")
        .description(board.about)
        .tags([TAG])
        .time(board.since, "now")
        .refresh(board.refresh)
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Tonearm")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .icon("external link")
            .include_vars(True)
            .keep_time(True)
        )
    )
    for row, at in placed_rows(board.rows):
        made.with_row(dashboard.Row(row.title).id(row.id).grid_pos(at))
        for panel, where in placed_panels(row.panels, at.y + 1):
            made.with_panel(_panel(panel).grid_pos(where))
    return made.build()


def placed_rows(rows: Sequence[Row]) -> Iterator[tuple[Row, GridPos]]:
    """Each row's heading, under the panels of the row before."""
    y = 0
    for row in rows:
        yield row, GridPos(h=1, w=COLUMNS, x=0, y=y)
        y = max((at.y + at.h for _, at in placed_panels(row.panels, y + 1)), default=y + 1)


def placed_panels(panels: Sequence[Panel], y: int) -> Iterator[tuple[Panel, GridPos]]:
    """Panels from left to right; what doesn't fit goes under the highest of the line."""
    x = height = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, GridPos(h=panel.height, w=panel.width, x=x, y=y)
        x, height = x + panel.width, max(height, panel.height)


def _panel(panel: Panel) -> _Builder:
    made = _bare(panel)
    (
        made.id(panel.id)
        .title(panel.title)
        .description(_description(panel))
        .datasource(SOURCE)
        .interval(SCRAPED)
        .unit(panel.unit.value)
        .thresholds(
            dashboard.ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps([Threshold(value=value, color=color) for value, color in panel.steps])
        )
    )
    if panel.unit in (Unit.COUNT, Unit.BYTES, Unit.SECONDS, Unit.PER_SECOND, Unit.REQUESTS):
        made.min(0)
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    if panel.states:
        made.mappings(_mappings(panel.states))
    for number, query in enumerate(panel.queries):
        made.with_target(_target(panel, "ABCDEFGH"[number], query.expr, query.legend))
    return made


def _description(panel: Panel) -> str:
    watched = f"\n\nAlerts: {', '.join(panel.alerts)}; see docs/operations/runbook.md." if panel.alerts else ""
    return panel.about + watched


def _bare(panel: Panel) -> _Builder:
    match panel.kind:
        case Kind.LINES:
            return _lines(panel)
        case Kind.STACKED:
            return _lines(panel).fill_opacity(40).stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        case Kind.STAT:
            return _stat()
        case Kind.BARS:
            return _bars()


def _target(panel: Panel, ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref).expr(expr).legend_format(legend)
    return target.instant() if panel.kind in (Kind.BARS, Kind.STAT) else target.range()


def _mappings(states: Sequence[tuple[int, str]]) -> list[ValueMapping]:
    shown = {
        str(value): ValueMappingResult(text=word, color=GREEN if value else RED, index=number)
        for number, (value, word) in enumerate(states)
    }
    return [ValueMap(shown)]


def _lines(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .line_width(2)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    shown = len(panel.steps) > 1
    mode = GraphThresholdsStyleMode.DASHED if shown else GraphThresholdsStyleMode.OFF
    return made.thresholds_style(common.GraphThresholdsStyleConfig().mode(mode))


def _stat() -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )


def _bars() -> bargauge.Panel:
    return (
        bargauge.Panel()
        .display_mode(BarGaugeDisplayMode.BASIC)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
