"""How the dashboard looks: one colour for one meaning, and panels that start from the same settings."""

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

# By who must act: red ours and the vendor's administrators, orange the network, yellow certificates, blue the vendor.
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
    """The number that stands for a reason in a panel; 0 is no failure."""
    return list(Reason).index(reason) + 1


def named(values: Mapping[str, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Show values as a text in a colour."""
    options = {
        value: dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(values.items())
    }
    return [dashboard.ValueMap(options=options)]


def reasons() -> list[dashboard.ValueMapping]:
    """Show the code of a reason as its name in its colour."""
    names = {str(reason_code(reason)): (reason.value, REASON_COLORS[reason]) for reason in Reason}
    return named({"0": ("ok", GOOD)} | names)


def colored(name_pattern: str, color: str) -> tuple[dashboard.MatcherConfig, list[dashboard.DynamicConfigValue]]:
    """Give every series whose name matches a fixed colour: the arguments of `with_override`."""
    matcher = dashboard.MatcherConfig(id_val="byRegexp", options=f"/{name_pattern}/")
    return matcher, [dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})]


def colored_each(panel: timeseries.Panel, colors: Mapping[str, str]) -> timeseries.Panel:
    """Give each series that has exactly such a name its colour."""
    for name, color in colors.items():
        panel = panel.with_override(*colored(f"^{name}$", color))
    return panel


def steps(*limits: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Thresholds: each colour holds from its value on; the first from minus infinity (None)."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in limits])
    )


def query(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    """A question over the time that is shown."""
    return prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(expr).legend_format(legend).range()


def now(ref: str, expr: str, legend: str = "") -> prometheus.Dataquery:
    """A question about this moment."""
    return prometheus.Dataquery().ref_id(ref).datasource(SOURCE).expr(expr).legend_format(legend).instant()


def rows(ref: str, expr: str) -> prometheus.Dataquery:
    """A question about this moment whose labels become the columns of a table."""
    return now(ref, expr).format(PromQueryFormat.TABLE)


def heat_query(ref: str, expr: str) -> prometheus.Dataquery:
    """A question about buckets, each of which becomes a line of a heatmap."""
    return query(ref, expr, "{{le}}").format(PromQueryFormat.HEATMAP)


def value_panel(title: str, description: str, width: int) -> stat.Panel:
    """A large value for each series, on its colour; a height that fits four of them."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(7)
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
    """A bar for each series whose colour is its state."""
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
    """Lines over time, with their newest and largest values beside their names."""
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
    """Login and ping in their colours; production as a solid line, every other environment dashed."""
    for pattern, color in ((" login", LOGIN), (" ping", PING)):
        panel = panel.with_override(*colored(pattern, color))
    matcher = dashboard.MatcherConfig(id_val="byRegexp", options="/^(?!prod\\b)/")
    dashes = {"fill": "dash", "dash": [8, 6]}
    return panel.with_override(matcher, [dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=dashes)])


def bars(panel: timeseries.Panel, per: str) -> timeseries.Panel:
    """Counts of at least so much time each (as Grafana writes it), stacked as bars."""
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
    """Parts that add up."""
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
    """How many requests took how long; the darker, the more."""
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
    """Labels as columns."""
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
    """The columns of a table in their order, without what says nothing."""
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
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=show)
        .calcs(list(calcs))
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
