"""The dashboard against the types that Grafana publishes."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.grafana import dashboards

_SCHEMA = Path(__file__).with_name("schema")

pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def compiler_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiler and the types are installed, exactly as the lock file says."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    directory = tmp_path_factory.mktemp("schema")
    for file in _SCHEMA.iterdir():
        shutil.copy(file, directory)
    command = ["npm", "ci", "--ignore-scripts", "--omit=peer", "--no-audit", "--no-fund", "--loglevel=error"]
    installed = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install Grafana's types: {installed.stderr.strip()}")
    return directory


@pytest.fixture
def complaints(compiler_directory: Path) -> Callable[[dict[str, Any]], list[str]]:
    """What the compiler has to say about a dashboard."""

    def ask(dashboard: dict[str, Any]) -> list[str]:
        (compiler_directory / "dashboard.ts").write_text(_typescript(dashboard))
        command = ["node", "node_modules/typescript/bin/tsc", "--project", "."]
        compiled = subprocess.run(
            command, cwd=compiler_directory, capture_output=True, text=True, timeout=50, check=False
        )
        assert compiled.returncode in (0, 2), compiled.stdout + compiled.stderr
        assert (compiled.returncode == 0) == (compiled.stdout == ""), compiled.stdout
        return compiled.stdout.splitlines()

    return ask


def _typescript(dashboard: dict[str, Any]) -> str:
    """Each panel as a constant of its own type, so that a key that its type lacks is an error."""
    frame = {key: value for key, value in dashboard.items() if key != "panels"}
    lines = ["import type * as types from './types.js';", f"export const frame: types.Frame = {json.dumps(frame)};"]
    for panel in dashboard["panels"]:
        kind = "".join(word.capitalize() for word in panel["type"].split("-"))
        lines.append(f"export const panel{panel['id']}: types.{kind}Panel = {json.dumps(panel)};")
    return "\n".join(lines)


def test_the_dashboard_fits_grafanas_types(complaints: Callable[[dict[str, Any]], list[str]]) -> None:
    """Every key of the file is one that Grafana knows, with a value of its type, and none that it needs is missing."""
    assert complaints(dashboards.load()) == []


def _first(dashboard: dict[str, Any], kind: str) -> dict[str, Any]:
    panel: dict[str, Any] = next(panel for panel in dashboard["panels"] if panel["type"] == kind)
    return panel


_WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "an option of no panel": lambda d: _first(d, "stat")["options"].update(graphMood="none"),
    "a value of no enum": lambda d: _first(d, "timeseries")["options"]["tooltip"].update(mode="every"),
    "a table's footer": lambda d: _first(d, "table")["options"].update(footer={}),
    "an option that is missing": lambda d: _first(d, "state-timeline")["options"].pop("showValue"),
    "a field's property of no kind": lambda d: _first(d, "heatmap")["fieldConfig"]["defaults"].update(units="s"),
    "an override of nothing": lambda d: _first(d, "timeseries")["fieldConfig"]["overrides"][0]["properties"].append(
        {"id": "custom.lineStile", "value": {}}
    ),
    "a variable's unknown key": lambda d: d["templating"]["list"][0].update(auto=False),
    "a dashboard's unknown key": lambda d: d.update(refreshing="30s"),
    "an annotation's unknown key": lambda d: d["annotations"]["list"][0].update(titel="x"),
    "a query's unknown key": lambda d: _first(d, "stat")["targets"][0].update(expression="up"),
}


@pytest.mark.parametrize("what", _WRONG)
def test_the_types_reject_what_is_wrong(what: str, complaints: Callable[[dict[str, Any]], list[str]]) -> None:
    """The check finds one wrong key or value anywhere in the file."""
    dashboard = copy.deepcopy(dashboards.load())
    _WRONG[what](dashboard)
    assert len(complaints(dashboard)) >= 1
