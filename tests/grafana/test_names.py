"""The dashboard uses only exported metrics and labels, the reasons of the code, and recorded series."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.grafana import dashboards
from tests.support import promql
from tests.system.prometheus import rulefiles

pytestmark = pytest.mark.once

_QUERIES = list(dashboards.queries())
every_query = pytest.mark.parametrize("query", _QUERIES, ids=str)


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Return the labels by metric of a monitor that has logged in and pinged."""
    return promql.exported()


@every_query
def test_every_metric_has_matchers(query: dashboards.Query) -> None:
    """Every metric in an expression has matchers, so that the variables and the tests below apply to it."""
    assert promql.names(query.expr) == {name for name, _ in promql.selectors(query.expr)}


@every_query
def test_metrics_and_their_labels_exist(query: dashboards.Query, exported: dict[str, set[str]]) -> None:
    """Every metric and label of a query exists in the code."""
    promql.check_labels(query.expr, exported)


@every_query
def test_label_values_exist_in_the_code(query: dashboards.Query) -> None:
    """Every reason, phase, cause and endpoint in a query exists in the code."""
    promql.check_values(query.expr)


@every_query
def test_legends_use_labels_of_the_result(query: dashboards.Query) -> None:
    """Every label in a legend survives the aggregation of its query."""
    groups = re.findall(r"\bby\s*\(([^)]*)\)", query.expr)
    kept = {label.strip() for group in groups for label in group.split(",")}
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= kept


def test_columns_of_tables_are_labels_of_the_result() -> None:
    """Every column is a label that survives the aggregation of the query."""
    for panel in (panel for panel in dashboards.panels() if panel["type"] == "table"):
        (target,) = panel["targets"]
        (group,) = re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])
        (columns,) = panel["transformations"]
        assert set(columns["options"]["indexByName"]) == {label.strip() for label in group.split(",")}


def test_variables_use_exported_labels(exported: dict[str, set[str]]) -> None:
    """The values of a variable are those of an exported label."""
    asked = [variable["query"]["query"] for variable in dashboards.load()["templating"]["list"][1:]]
    for text in asked:
        name, label = re.fullmatch(r"label_values\((\w+)(?:\{[^}]*\})?, (\w+)\)", text).groups()  # type: ignore[union-attr]
        assert label in exported[name] | promql.OF_TARGETS
    assert len(asked) == 3


def test_recorded_series_are_those_of_the_rules() -> None:
    """Every recorded series of the dashboard is recorded by a rule."""
    asked = {name for query in _QUERIES for name, _ in promql.selectors(query.expr) if ":" in name}
    assert asked <= rulefiles.recorded()


def test_the_dashboard_shows_every_alert() -> None:
    """The dashboard selects alerts by the prefix of their names, and every alert has that prefix."""
    (pattern,) = {
        value
        for query in _QUERIES
        for name, matchers in promql.selectors(query.expr)
        for label, _, value in matchers
        if (name, label) == ("ALERTS", "alertname")
    }
    unseen = {name for name in rulefiles.alerts() if not re.fullmatch(pattern, name)}
    assert not unseen


@pytest.mark.system
@pytest.mark.needs("promtool")
def test_promtool_parses_every_query(tmp_path: Path) -> None:
    """Every expression, with the variables filled in, is valid PromQL."""
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
