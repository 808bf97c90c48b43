"""The dashboard asks only for what exists: exported metrics and labels, the reasons of the code, recorded series."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from monitor.result import Cause, Endpoint, Phase, Reason
from monitor.simulator import Simulator
from tests.grafana import dashboards, rules
from tests.rig import Rig, series

_QUERIES = list(dashboards.queries())
every_query = pytest.mark.parametrize("query", _QUERIES, ids=str)

_OF_TARGETS = {"instance", "job"}  # what Prometheus adds to each series that it scrapes
_OF_PROMETHEUS: Mapping[str, set[str]] = {
    "up": set(),
    "scrape_duration_seconds": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "environment"},
}
_OF_RECORDED = {"environment", "endpoint"}
_CLOSED: Mapping[str, set[str]] = {
    "endpoint": set(Endpoint),
    "reason": set(Reason),
    "phase": set(Phase),
    "cause": set(Cause),
    "outcome": {"success", *Reason},
    "alertstate": {"pending", "firing"},
}
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NO_METRICS = {"and", "or", "unless", "bool", "offset"}


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The names and labels of everything that a monitor exports once it has logged in and pinged."""
    with Simulator() as simulator:
        rig = Rig(simulator)
        assert rig.turn(Endpoint.TOKEN).success
        assert rig.turn(Endpoint.PING).success
        rig.metrics.turn_began("prod", Endpoint.PING, 0.0)
        rig.metrics.reloaded(1.0)
        found: dict[str, set[str]] = {}
        for text in series(rig.exposition(), ""):
            name, _, labels = text.partition("{")
            found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
        return found


def _selectors(expr: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric of an expression, with its matchers: label, operator, value."""
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expr):
        yield name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)


def _labels(name: str, exported: Mapping[str, set[str]]) -> set[str]:
    """The labels of a metric; fails for one that does not exist."""
    if name in exported:
        return exported[name] | _OF_TARGETS
    if name in _OF_PROMETHEUS:
        return _OF_PROMETHEUS[name] | _OF_TARGETS
    assert ":" in name, f"nothing exports {name}"
    return _OF_RECORDED | _OF_TARGETS


@every_query
def test_every_metric_is_asked_for_with_matchers(query: dashboards.Query) -> None:
    """No name stands alone in an expression: none escapes the tests below, or the variables."""
    rest = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]', "", _GROUPING.sub("", query.expr))
    words = set(re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", rest)) - _NO_METRICS
    assert words == {name for name, _ in _selectors(query.expr)}


@every_query
def test_metrics_and_their_labels_exist(query: dashboards.Query, exported: dict[str, set[str]]) -> None:
    """A metric or a label that is renamed in the code is missed here."""
    found = {name: _labels(name, exported) for name, _ in _selectors(query.expr)}
    for name, matchers in _selectors(query.expr):
        assert {label for label, _, _ in matchers} <= found[name], name
    grouped = {label.strip() for group in _GROUPING.findall(query.expr) for label in group.split(",")} - {""}
    assert grouped <= set().union(*found.values())


@every_query
def test_values_are_of_the_closed_sets(query: dashboards.Query) -> None:
    """A reason, phase, cause or endpoint that is asked for by name is one of the code's."""
    for _, matchers in _selectors(query.expr):
        for label, operator, value in matchers:
            assert operator != "=" or value in _CLOSED[label], f"{label}={value}"


@every_query
def test_legends_name_labels_that_the_answer_has(query: dashboards.Query) -> None:
    """A legend of a label that was aggregated away would be empty."""
    groups = re.findall(r"\bby\s*\(([^)]*)\)", query.expr)
    kept = {label.strip() for group in groups for label in group.split(",")}
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= kept


def test_columns_of_tables_are_labels_that_the_answer_has() -> None:
    """A column of a label that was aggregated away would not be there."""
    for panel in (panel for panel in dashboards.panels() if panel["type"] == "table"):
        (target,) = panel["targets"]
        (group,) = re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])
        (columns,) = panel["transformations"]
        assert set(columns["options"]["indexByName"]) == {label.strip() for label in group.split(",")}


def test_variables_ask_for_what_is_exported(exported: dict[str, set[str]]) -> None:
    """The choices of a variable are the values of a label that exists."""
    asked = [variable["query"]["query"] for variable in dashboards.load()["templating"]["list"][1:]]
    for text in asked:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", text).groups()  # type: ignore[union-attr]
        assert label in exported[name] | _OF_TARGETS
    assert len(asked) == 2


def test_recorded_series_are_those_of_the_rules() -> None:
    """What the dashboard wants recorded, the rules record."""
    if not rules.files():
        pytest.skip(rules.MISSING)
    asked = {name for query in _QUERIES for name, _ in _selectors(query.expr) if ":" in name}
    assert asked <= rules.names("record")


def test_every_alert_is_one_that_the_dashboard_shows() -> None:
    """The alerts are chosen by how their names begin: one that is named otherwise would not be seen."""
    if not rules.files():
        pytest.skip(rules.MISSING)
    (pattern,) = {
        value
        for query in _QUERIES
        for name, matchers in _selectors(query.expr)
        for label, _, value in matchers
        if (name, label) == ("ALERTS", "alertname")
    }
    unseen = {name for name in rules.names("alert") if not re.fullmatch(pattern, name)}
    assert not unseen


@pytest.mark.system
@pytest.mark.needs("promtool")
def test_promtool_parses_every_query(tmp_path: Path) -> None:
    """Every expression, with the variables filled in, is PromQL."""
    everything = {"environment": ["prod", "uat"], "instance": ["127.0.0.1:9844", "[::1]:9844"]}
    recorded = [
        {"record": f"test:query{number}", "expr": query.filled(6 * 3600, everything)}
        for number, query in enumerate(_QUERIES)
    ]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(_QUERIES)} rules found" in checked.stdout
