"""The committed dashboard as Grafana reads it: its panels, and their queries with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.checkout import ROOT

FILE = ROOT / "grafana" / "tigr-connectivity.json"
SCRAPE = 5.0  # seconds: the scrape interval of the provisioned data source
POINTS = 1000  # about the number of points that a panel on a wide screen requests
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def load() -> dict[str, Any]:
    """Return the contents of the JSON file."""
    contents: dict[str, Any] = json.loads(FILE.read_text())
    return contents


def panels() -> list[dict[str, Any]]:
    """Return every panel except the row headings, in order."""
    return [panel for panel in load()["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel or of the annotations."""

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
        """Return the seconds between the points that Grafana requests for a view over this many seconds."""
        return max(self.min_interval, seconds / POINTS)

    def filled(self, seconds: float, variables: Mapping[str, list[str]]) -> str:
        """Return the expression as Grafana sends it for a view over this many seconds."""
        step = self.step(seconds)
        expr = self.expr.replace("$__rate_interval", f"{max(step + SCRAPE, 4 * SCRAPE):.0f}s")
        for name, values in ({"job": ["tigr-monitor"]} | dict(variables)).items():
            expr = expr.replace(f"${name}", _interpolated(values))
        assert "$" not in expr, f"{self}: a variable is not filled in: {expr}"
        return expr


def queries() -> Iterator[Query]:
    """Yield every query of every panel, then those of the annotations."""
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
    """Return the values of a variable as Grafana writes them into a regular expression of PromQL."""
    escaped = [re.sub(r"([\\^$.*+?()[\]{}|])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _seconds(interval: str) -> float:
    return float(interval[:-1]) * _UNITS[interval[-1]]
