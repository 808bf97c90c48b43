"""What can be said of the dashboard without a Prometheus: it is what the script makes, and it is complete."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest

from monitor.model import LoginCause, Phase, Reason
from tests.grafana import dashboards

dashboard = pytest.importorskip("grafana.dashboard", reason="grafana-foundation-sdk is not installed: it is in `test`")

_PANELS = dashboards.panels()
_IDS = [panel["title"] for panel in _PANELS]
every_panel = pytest.mark.parametrize("panel", _PANELS, ids=_IDS)


def test_the_file_is_what_the_script_makes() -> None:
    """Nobody edits the JSON file: `python -m grafana.dashboard` makes it, twice the same."""
    assert dashboards.FILE.read_text() == dashboard.text() == dashboard.text()


def test_the_readme_has_the_table_that_the_script_makes() -> None:
    """The README lists every panel and the question it answers."""
    assert dashboard.README.read_text() == dashboard.with_table(dashboard.README.read_text())


def test_titles_are_unique() -> None:
    """A panel can be named."""
    assert len(set(_IDS)) == len(_IDS)


def test_the_rows_come_in_the_order_of_the_questions() -> None:
    """First what is wrong, then since when and why."""
    rows = [panel["title"] for panel in dashboards.load()["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Availability", "Latency", "Tokens", "Host", "The monitor itself"]


def test_panels_do_not_overlap() -> None:
    """Each has a place of its own in a grid of 24 columns."""
    for one, other in combinations([panel["gridPos"] for panel in dashboards.load()["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_rows_of_panels_are_filled() -> None:
    """No gap in the grid: the widths of the panels that begin at the same height add up to 24."""
    widths: dict[int, int] = {}
    for panel in dashboards.load()["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


@every_panel
def test_a_description_begins_with_its_question(panel: dict[str, Any]) -> None:
    """The first sentence is a question, and an answer's explanation follows."""
    question, mark, rest = panel["description"].partition("? ")
    assert question
    assert mark
    assert rest.endswith(".")


@every_panel
def test_values_have_a_unit_or_a_name(panel: dict[str, Any]) -> None:
    """A number without a unit is a puzzle."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] == "table" or "unit" in defaults or "mappings" in defaults


@every_panel
def test_every_panel_has_thresholds(panel: dict[str, Any]) -> None:
    """A colour without a threshold would be Grafana's default, which turns red at 80 of whatever it is."""
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]


@every_panel
def test_every_query_asks_the_chosen_data_source(panel: dict[str, Any]) -> None:
    """The variable decides, in the panel and in each query."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
        len(panel["targets"]) + 1
    )


@every_panel
def test_legends_name_what_is_drawn(panel: dict[str, Any]) -> None:
    """A series is not called by all its labels, and two queries of a panel are told apart."""
    if panel["type"] == "table":
        return
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert all(legends)
    assert len(set(legends)) == len(legends)


@every_panel
def test_queries_follow_the_variables(panel: dict[str, Any]) -> None:
    """A choice of environments and monitors applies to every panel."""
    for target in panel["targets"]:
        for selector in re.findall(r"\btigr_\w+(\{[^}]*\})?", target["expr"]):
            assert 'instance=~"$instance"' in selector, target["expr"]
            assert 'environment=~"$environment"' in selector or "by (instance" in target["expr"], target["expr"]


def test_every_reason_has_a_name_and_a_colour_of_its_own() -> None:
    """A state is known by its colour: no two reasons share one, and none is missing."""
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
    """The bars by outcome use the timeline's colours."""
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
    """A value that the code adds needs a colour."""
    assert set(_colours(title)) == {value.value for value in values}


def test_no_colour_of_a_cause_says_that_all_is_bad() -> None:
    """Red is kept for what is bad."""
    assert not [color for color in _colours("Logins by cause").values() if "red" in color]
