"""The appearance of the dashboard: one colour per meaning, and common settings for the panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitor.model import LoginCause, Phase, Reason

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

GOOD, CONCERN, BAD, NEUTRAL = "green", "orange", "red", "text"
LOGIN, PING = "blue", "purple"
PLANNED = "light-blue"

# By the side that must act: red our administrators and the vendor's, orange the network, yellow TLS, blue the vendor.
REASON_COLORS: Mapping[str, str] = {
    Reason.NO_TOKEN: "light-red",
    Reason.TIMEOUT: "orange",
    Reason.PROXY: "super-light-orange",
    Reason.DNS: "light-orange",
    Reason.CONNECT: "semi-dark-orange",
    Reason.CERTIFICATE: "yellow",
    Reason.TLS: "dark-yellow",
    Reason.DISCONNECT: "dark-orange",
    Reason.UNAUTHORIZED: "red",
    Reason.FORBIDDEN: "dark-red",
    Reason.RATE_LIMITED: "semi-dark-red",
    Reason.REJECTED_REQUEST: "super-light-red",
    Reason.SERVER_ERROR: "blue",
    Reason.UNEXPECTED_STATUS: "light-blue",
    Reason.MALFORMED: "dark-blue",
    Reason.INTERNAL: "dark-purple",
}
CAUSE_COLORS: Mapping[str, str] = {
    LoginCause.INITIAL: "light-blue",
    LoginCause.SCHEDULED: "blue",
    LoginCause.EXPIRY: "dark-blue",
    LoginCause.REJECTED: "orange",
    LoginCause.CREDENTIALS: "yellow",
    LoginCause.OPERATOR: "purple",
}
PHASE_COLORS: Mapping[str, str] = {
    Phase.RESOLVE: "light-orange",
    Phase.CONNECT: "dark-orange",
    Phase.TLS: "yellow",
    Phase.PROCESSING: "blue",
    Phase.TRANSFER: "light-blue",
}


def reason_code(reason: Reason) -> int:
    """Return the number that represents a reason in a panel; 0 represents success."""
    return list(Reason).index(reason) + 1


def named(values: Mapping[str, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Return a mapping that shows values as coloured text."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(values.items())
    }
    return [dashboard.ValueMap(options=options)]


def reasons() -> list[dashboard.ValueMapping]:
    """Return a mapping that shows the code of a reason as its name in its colour."""
    names = {str(reason_code(reason)): (reason.value, REASON_COLORS[reason]) for reason in Reason}
    return named({"0": ("ok", GOOD)} | names)


def colored(name_pattern: str, color: str) -> tuple[dashboard.MatcherConfig, list[dashboard.DynamicConfigValue]]:
    """Return the arguments of `with_override` that give every series with a matching name a fixed colour."""
    matcher = dashboard.MatcherConfig(id_val="byRegexp", options=f"/{name_pattern}/")
    return matcher, [dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})]


def colored_each(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """Give each series with one of these exact names its colour."""
    for name, color in colors.items():
        panel = panel.with_override(*colored(f"^{name}$", color))
    return panel


def steps(*limits: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Return thresholds: each colour applies from its value upwards, the first from minus infinity (None)."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in limits])
    )


def query(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query over the time range of the dashboard."""
    return prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(expr).legend_format(legend).range()


def now(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query of the current value."""
    return prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(expr).legend_format(legend).instant()


def rows(ref: str, expr: str) -> prometheus.Dataquery:
    """Return a query of the current value, with labels as the columns of a table."""
    return now(ref, expr).format(PromQueryFormat.TABLE)


def heat_query(ref: str, expr: str) -> prometheus.Dataquery:
    """Return a query of buckets, with one row of a heatmap per bucket."""
    return query(ref, expr, "{{le}}").format(PromQueryFormat.HEATMAP)


def value_panel(title: str, description: str, width: int) -> stat.Panel:
    """Return a panel with a coloured value per series: one fills the panel, fifteen have one line each."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(12)
        .span(width)
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .justify_mode(common.BigValueJustifyMode.AUTO)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .percent_change_color_mode(common.PercentChangeColorMode.STANDARD)
        .show_percent_change(show_percent_change=False)
        .wide_layout(wide_layout=True)
        .orientation(common.VizOrientation.HORIZONTAL)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
        .no_value("no data")
    )


def timeline_panel(title: str, description: str, height: int) -> statetimeline.Panel:
    """Return a panel with a bar per series; the colour shows the state."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(height)
        .span(24)
        .legend(_legend(show=False))
        .tooltip(_tooltip())
        .merge_values(merge_values=True)
        .show_value(common.VisibilityMode.AUTO)
        .align_value(common.TimelineValueAlignment.LEFT)
        .fill_opacity(85)
        .line_width(0)
        .thresholds(steps((None, NEUTRAL)))
        .no_value("no data")
    )


def graph_panel(title: str, description: str, width: int) -> timeseries.Panel:
    """Return a panel with lines over time, whose legend contains the most recent and the largest value.

    The legend scrolls at the right, so that many series leave the graph its height.
    """
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .legend(_legend(calcs=("lastNotNull", "max")))
        .tooltip(_tooltip())
        .line_width(1)
        .fill_opacity(0)
        .show_points(common.VisibilityMode.NEVER)
        .axis_placement(common.AxisPlacement.AUTO)
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .thresholds(steps((None, GOOD)))
    )


def lines_by_endpoint(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw login and ping in their colours, production as a solid line, every other environment as a dashed line."""
    for pattern, color in ((" login", LOGIN), (" ping", PING)):
        panel = panel.with_override(*colored(pattern, color))
    matcher = dashboard.MatcherConfig(id_val="byRegexp", options="/^(?!prod\\b)/")
    dashes = {"fill": "dash", "dash": [8, 6]}
    return panel.with_override(matcher, [dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=dashes)])


def bars(panel: timeseries.Panel, per: str) -> timeseries.Panel:
    """Draw counts as stacked bars; `per` is the minimum time per bar, in Grafana's notation."""
    return (
        panel.draw_style(common.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
        .legend(_legend(calcs=("sum",)))
        .interval(per)
        .unit("short")
        .decimals(0)
        .min(0)
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Stack the series, because their sum has a meaning."""
    return panel.fill_opacity(60).stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))


def limited(panel: timeseries.Panel, *limits: tuple[float | None, str]) -> timeseries.Panel:
    """Draw the thresholds as dashed lines."""
    style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(steps(*limits)).thresholds_style(style)


def symlog(panel: timeseries.Panel) -> timeseries.Panel:
    """Use a logarithmic scale that includes 0, so that seconds and hours are readable in one graph."""
    scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG)
    return panel.scale_distribution(scale.log(10).linear_threshold(1))


def heat_panel(title: str, description: str, width: int) -> heatmap.Panel:
    """Return a heatmap of durations; a darker cell means more requests."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .unit("s")
        .thresholds(steps((None, GOOD)))
        .calculate(calculate=False)
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit("s").axis_placement(common.AxisPlacement.LEFT))
        .show_legend()
    )


def table_panel(title: str, description: str, width: int, height: int) -> table.Panel:
    """Return a table with labels as columns."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(height)
        .span(width)
        .show_header(show_header=True)
        .cell_height(common.TableCellHeight.SM)
        .cell_options(common.TableAutoCellOptions())
        .thresholds(steps((None, NEUTRAL)))
        .no_value("no data")
    )


def columns(*names: str, hidden: Sequence[str] = ("Time", "Value")) -> dashboard.DataTransformerConfig:
    """Return the transformation that orders the columns of a table and hides columns without information."""
    options = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": {},
    }
    return dashboard.DataTransformerConfig(id_val="organize", options=options)


def _legend(*, show: bool = True, calcs: Sequence[str] = ()) -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE if calcs else common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.RIGHT if calcs else common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=show)
        .calcs(list(calcs))
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
