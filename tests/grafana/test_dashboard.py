"""Checks of the dashboard that need no Prometheus: the script generates it, and it is complete."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest

from monitor.model import LoginCause, Phase, Reason
from tests.grafana import dashboards
from tests.support import promql
from tests.system.prometheus import rulefiles

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # the subject is not the monitor
]

dashboard = pytest.importorskip("grafana.dashboard", reason="grafana-foundation-sdk is not installed: it is in `test`")

_PANELS = dashboards.panels()
_IDS = [panel["title"] for panel in _PANELS]
every_panel = pytest.mark.parametrize("panel", _PANELS, ids=_IDS)


def test_the_script_generates_the_file() -> None:
    """`python -m grafana.dashboard` generates exactly the committed JSON file, every time."""
    assert dashboards.FILE.read_text() == dashboard.text() == dashboard.text()


def test_the_script_generates_the_table_of_the_readme() -> None:
    """The README lists every panel with its question."""
    assert dashboard.README.read_text() == dashboard.with_table(dashboard.README.read_text())


def test_titles_are_unique() -> None:
    """A title identifies one panel."""
    assert len(set(_IDS)) == len(_IDS)


def test_the_rows_are_in_the_order_of_an_investigation() -> None:
    """The current state comes first, then the history and the causes."""
    rows = [panel["title"] for panel in dashboards.load()["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Availability", "Latency", "Tokens", "Host", "The monitor itself"]


def test_panels_do_not_overlap() -> None:
    """No two panels share a cell of the grid of 24 columns."""
    for one, other in combinations([panel["gridPos"] for panel in dashboards.load()["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_panels_fill_the_width_of_the_grid() -> None:
    """The widths of the panels that begin at the same height add up to 24."""
    widths: dict[int, int] = {}
    for panel in dashboards.load()["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


@every_panel
def test_a_description_begins_with_an_interrogative_sentence(panel: dict[str, Any]) -> None:
    """The first sentence ends with a question mark, and an explanation follows."""
    first_sentence, mark, rest = panel["description"].partition("? ")
    assert first_sentence
    assert mark
    assert rest.endswith(".")


@every_panel
def test_values_have_a_unit_or_a_name(panel: dict[str, Any]) -> None:
    """Every panel except a table gives its values a unit or a text."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] == "table" or "unit" in defaults or "mappings" in defaults


@every_panel
def test_every_panel_has_thresholds(panel: dict[str, Any]) -> None:
    """Every panel sets thresholds, because Grafana's default turns red at 80, whatever the unit."""
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]


@every_panel
def test_every_query_uses_the_selected_data_source(panel: dict[str, Any]) -> None:
    """The panel and each of its queries use the variable."""
    selected = {"type": "prometheus", "uid": "${datasource}"}
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [selected] * (
        len(panel["targets"]) + 1
    )


@every_panel
def test_every_query_has_a_unique_legend(panel: dict[str, Any]) -> None:
    """Every query of a graph has a legend, and no two queries of a panel have the same one."""
    if panel["type"] == "table":
        return
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert all(legends)
    assert len(set(legends)) == len(legends)


@every_panel
def test_queries_follow_the_variables(panel: dict[str, Any]) -> None:
    """Every metric is restricted to the selected environments and monitors."""
    for target in panel["targets"]:
        for selector in re.findall(r"\btigr_\w+(\{[^}]*\})?", target["expr"]):
            assert 'instance=~"$instance"' in selector, target["expr"]
            assert 'environment=~"$environment"' in selector or "by (instance" in target["expr"], target["expr"]


@pytest.mark.parametrize("query", list(dashboards.queries()), ids=str)
def test_every_query_selects_the_job(query: dashboards.Query) -> None:
    """Every metric is restricted to the selected job: other exporters can have the same instance."""
    matchers = [matchers for _, matchers in promql.selectors(query.expr)]
    assert matchers
    assert all(("job", "=~", "$job") in chosen for chosen in matchers)


def test_the_job_has_the_name_of_the_scrape_job() -> None:
    """The variable begins with the job of the shipped scrape configuration, and is one value."""
    (variable,) = (variable for variable in dashboards.load()["templating"]["list"] if variable["name"] == "job")
    (scrape,) = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")["scrape_configs"]
    assert variable["current"]["value"] == scrape["job_name"]
    assert not variable["multi"]
    lists = [variable["query"]["query"] for variable in dashboards.load()["templating"]["list"][2:]]
    assert lists
    assert all('{job=~"$job"}' in text for text in lists)


# Panel, its threshold, an alert, and the same limit in the expression of the alert.
LIMITS = [
    ("Token left", 0.25, "TigrTokenHeadroomLow", "< 0.25 * tigr_token_lifetime_seconds"),
    ("Certificates expire in", 7 * 86400, "TigrCertificateExpiresInDays", "< 7 * 86400"),
    ("Certificates expire in", 21 * 86400, "TigrCertificateExpiresInWeeks", "< 21 * 86400"),
    ("Ping burn rate", 14.4, "TigrErrorBudgetBurnFast", "tigr:burn_rate:1h > 14.4"),
    ("Login burn rate", 14.4, "TigrErrorBudgetBurnFast", "tigr:burn_rate:1h > 14.4"),
    ("Ping burn rate", 6, "TigrErrorBudgetBurnSlow", "tigr:burn_rate:6h > 6"),
    ("Login burn rate", 6, "TigrErrorBudgetBurnSlow", "tigr:burn_rate:6h > 6"),
    ("Ping burn rate", 1, "TigrErrorBudgetOverspent", "tigr:burn_rate:3d > 1"),
    ("Login burn rate", 1, "TigrErrorBudgetOverspent", "tigr:burn_rate:3d > 1"),
    ("Ping latency", 2, "TigrPingLatencyHigh", "> 2"),
    ("Login latency", 2, "TigrTokenLatencyHigh", "> 2"),
    ("Clock offset", 30, "TigrClockOffset", "> 30"),
    ("Clock offset", -30, "TigrClockOffset", "< -30"),
    ("Delay", 5, "TigrRunsLate", "> 5"),
]


@pytest.mark.parametrize("title,limit,alert,part", LIMITS)
def test_the_thresholds_are_those_of_the_alerts(title: str, limit: float, alert: str, part: str) -> None:
    """A colour changes at the value at which the alert fires."""
    (panel,) = (panel for panel in _PANELS if panel["title"] == title)
    assert limit in [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert re.search(re.escape(part) + r"(?![\d.])", rulefiles.alerts()[alert]["expr"])


def test_the_age_of_the_data_is_relative_to_the_limit_of_the_alert() -> None:
    """The panel divides by the limit of TigrDataStale, and its threshold is 1."""
    (panel,) = (panel for panel in _PANELS if panel["title"] == "Age of the data")
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1] == {"color": "red", "value": 1}
    assert "> 3 * tigr_interval_seconds + 60" in rulefiles.alerts()["TigrDataStale"]["expr"]
    for target in panel["targets"]:
        assert re.search(r"/ \(3 \* tigr_interval_seconds\{[^}]*\} \+ 60\)", target["expr"])


def test_the_dashboard_links_to_the_runbook_and_to_the_alerts() -> None:
    """The top of the dashboard has the runbook and the alerts; the panels link to the section of every alert."""
    runbook, alerts = dashboards.load()["links"]
    sections = {alert: rule["annotations"]["runbook_url"] for alert, rule in rulefiles.alerts().items()}
    assert {section.partition("#")[0] for section in sections.values()} == {runbook["url"]}
    assert alerts["url"].startswith("/alerting/list")
    linked = {link["title"]: link["url"] for panel in _PANELS for link in panel.get("links", [])}
    assert linked == sections


@every_panel
def test_a_panel_has_space_for_fifteen_environments(panel: dict[str, Any]) -> None:
    """A value or a bar of each environment is at least 16 pixels high, and legends are at the right of the graph."""
    units = panel["gridPos"]["h"]
    height = 30 * units + 8 * (units - 1) - 40  # pixels: of each unit, of the gap between two, of the title
    names = len([target for target in panel["targets"] if "{{environment}}" in target.get("legendFormat", "")])
    if panel["type"] in {"stat", "state-timeline"}:
        assert height / (15 * names or 1) >= 16
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["placement"] == "right"


def test_every_reason_has_a_unique_name_and_colour() -> None:
    """No two reasons share a colour, and no reason is missing."""
    mappings = [
        mapping["options"]
        for panel in _PANELS
        if panel["title"] in ("Ping", "Login", "Outcome by reason")
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]
    ]
    assert mappings == [mappings[0]] * 3
    names = [value["text"] for value in sorted(mappings[0].values(), key=lambda value: value["index"])]
    assert names == ["ok", *(reason.value for reason in Reason)]
    assert len({value["color"] for value in mappings[0].values()}) == len(names)


def _colours(panel_title: str) -> dict[str, str]:
    (panel,) = (panel for panel in _PANELS if panel["title"] == panel_title)
    return {
        override["matcher"]["options"].strip("/^$"): override["properties"][0]["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
    }


def test_an_outcome_has_the_same_colour_everywhere() -> None:
    """The bars by outcome use the colours of the timeline."""
    (timeline,) = (panel for panel in _PANELS if panel["title"] == "Outcome by reason")
    (mapping,) = timeline["fieldConfig"]["defaults"]["mappings"]
    of_states = {value["text"]: value["color"] for value in mapping["options"].values()}
    of_states["success"] = of_states.pop("ok")
    assert _colours("Requests by outcome") == of_states


@pytest.mark.parametrize(
    "title,values",
    [
        ("Logins by cause", LoginCause),
        ("Ping phases, $environment", Phase),
        ("Login phases, $environment", Phase),
    ],
)
def test_closed_sets_are_coloured_completely(title: str, values: type[LoginCause | Phase]) -> None:
    """Every cause and every phase of the code has a colour."""
    assert set(_colours(title)) == {value.value for value in values}


def test_no_login_cause_is_red() -> None:
    """Red is reserved for failures."""
    assert not [color for color in _colours("Logins by cause").values() if "red" in color]
