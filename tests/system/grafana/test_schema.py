"""The dashboard against the types that Grafana publishes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.grafana import dashboards
from tests.system.typescript import TypeChecker, install

_SCHEMA = Path(__file__).with_name("schema")

pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> TypeChecker:
    """Return the compiler with Grafana's types."""
    return install(_SCHEMA, tmp_path_factory.mktemp("schema"), "dashboard.ts")


@pytest.fixture
def type_errors(checker: TypeChecker) -> Callable[[dict[str, Any]], list[str]]:
    """Return a function that returns the errors of the compiler for a dashboard."""
    return lambda dashboard: checker.errors(_typescript(dashboard))


def _typescript(dashboard: dict[str, Any]) -> str:
    """Return the dashboard as TypeScript, each panel as a constant of its type, so that an unknown key is an error."""
    frame = {key: value for key, value in dashboard.items() if key != "panels"}
    lines = ["import type * as types from './types.js';", f"export const frame: types.Frame = {json.dumps(frame)};"]
    for panel in dashboard["panels"]:
        panel_type = "".join(word.capitalize() for word in panel["type"].split("-"))
        lines.append(f"export const panel{panel['id']}: types.{panel_type}Panel = {json.dumps(panel)};")
    return "\n".join(lines)


def test_the_dashboard_conforms_to_grafanas_types(type_errors: Callable[[dict[str, Any]], list[str]]) -> None:
    """Every key of the file is in Grafana's types with a value of its type, and no required key is missing."""
    assert type_errors(dashboards.load()) == []


def _first(dashboard: dict[str, Any], panel_type: str) -> dict[str, Any]:
    panel: dict[str, Any] = next(panel for panel in dashboard["panels"] if panel["type"] == panel_type)
    return panel


_WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown option of a panel": lambda d: _first(d, "stat")["options"].update(graphMood="none"),
    "unknown value of an enum": lambda d: _first(d, "timeseries")["options"]["tooltip"].update(mode="every"),
    "footer of a table": lambda d: _first(d, "table")["options"].update(footer={}),
    "missing option": lambda d: _first(d, "state-timeline")["options"].pop("showValue"),
    "unknown property of a field": lambda d: _first(d, "heatmap")["fieldConfig"]["defaults"].update(units="s"),
    "override of an unknown property": lambda d: _first(d, "timeseries")["fieldConfig"]["overrides"][0][
        "properties"
    ].append({"id": "custom.lineStile", "value": {}}),
    "unknown key of a variable": lambda d: d["templating"]["list"][0].update(auto=False),
    "unknown key of the dashboard": lambda d: d.update(refreshing="30s"),
    "unknown key of an annotation": lambda d: d["annotations"]["list"][0].update(titel="x"),
    "unknown key of a query": lambda d: _first(d, "stat")["targets"][0].update(expression="up"),
}


@pytest.mark.parametrize("change", _WRONG)
def test_the_types_reject_wrong_keys_and_values(
    change: str, type_errors: Callable[[dict[str, Any]], list[str]]
) -> None:
    """The compiler reports a single wrong key or value anywhere in the file."""
    dashboard = copy.deepcopy(dashboards.load())
    _WRONG[change](dashboard)
    assert len(type_errors(dashboard)) >= 1
