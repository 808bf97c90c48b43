"""The committed dashboard as Grafana reads it: its panels, and their queries with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.checkout import ROOT

FILE = ROOT / "grafana" / "tigr-connectivity.json"
SCRAPE = 5.0  # seconds: what the provisioned data source says
POINTS = 1000  # about what a panel on a wide screen asks for
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def load() -> dict[str, Any]:
    """The file's contents."""
    contents: dict[str, Any] = json.loads(FILE.read_text())
    return contents


def panels() -> list[dict[str, Any]]:
    """Every panel that shows something, in its order."""
    return [panel for panel in load()["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel, or the annotations'."""

    panel: str
    ref: str
    expr: str
    instant: bool
    min_interval: float  # seconds
    legend: str = ""
    repeated: bool = False  # the panel is drawn once for each environment

    def __str__(self) -> str:
        return f"{self.panel} {self.ref}"

    def step(self, seconds: float) -> float:
        """Seconds between the points that Grafana asks for over so long a time."""
        return max(self.min_interval, seconds / POINTS)

    def filled(self, seconds: float, variables: Mapping[str, list[str]]) -> str:
        """The expression as Grafana sends it for a view over so long a time."""
        step = self.step(seconds)
        expr = self.expr.replace("$__rate_interval", f"{max(step + SCRAPE, 4 * SCRAPE):.0f}s")
        for name, values in variables.items():
            expr = expr.replace(f"${name}", _interpolated(values))
        assert "$" not in expr, f"{self}: a variable is not filled in: {expr}"
        return expr


def queries() -> Iterator[Query]:
    """Every query of every panel, then the annotations'."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(
                panel=panel["title"],
                ref=target["refId"],
                expr=target["expr"],
                instant=target.get("instant", False),
                min_interval=_seconds(panel["interval"]) if "interval" in panel else SCRAPE,
                legend=target.get("legendFormat", ""),
                repeated=panel.get("repeat") == "environment",
            )
    for annotation in load()["annotations"]["list"]:
        yield Query(annotation["name"], "annotation", annotation["target"]["expr"], instant=False, min_interval=SCRAPE)


def _interpolated(values: list[str]) -> str:
    """As Grafana writes the values of a variable into a regular expression of PromQL."""
    escaped = [re.sub(r"([\\^$.*+?()[\]{}|])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _seconds(interval: str) -> float:
    return float(interval[:-1]) * _UNITS[interval[-1]]
