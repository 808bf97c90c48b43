"""Makes the Grafana dashboard: `python -m grafana.dashboard` writes its JSON file and the table in the README.

The first sentence of each panel's description is the question that it answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.dashboard import VariableRefresh, VariableSort

from grafana import rows
from grafana.queries import FIRING
from grafana.style import BAD, SOURCE, query

FILE = Path(__file__).with_name("tigr-connectivity.json")
README = Path(__file__).with_name("README.md")
TABLE_BEGINS, TABLE_ENDS = "<!-- panels: made by dashboard.py -->\n", "<!-- end of panels -->\n"

# What the SDK writes and Grafana's schema does not know: into variables that name a data source, and into tables.
_NOT_OF_VARIABLES = ("auto", "auto_count", "auto_min")
_NOT_OF_TABLES = ("footer",)


def model() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    dashboard = (
        builders.Dashboard("TIGR connectivity")
        .uid("tigr-connectivity")
        .description("What tigr-monitor finds when it logs in to the TIGR Registry Client API and pings it.")
        .tags(["tigr", "tigr-monitor"])
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .editable()
        .variables(_variables())
        .annotation(_alerts())
    )
    for title, panels in rows.ALL.items():
        dashboard = dashboard.with_row(builders.Row(title))
        for panel in panels():
            dashboard = dashboard.with_panel(panel)
    plain: dict[str, Any] = json.loads(json.dumps(dashboard.build(), cls=JSONEncoder))
    for variable in plain["templating"]["list"]:
        _drop(variable, _NOT_OF_VARIABLES)
    for number, panel in enumerate(plain["panels"], start=1):
        panel["id"] = number
        if panel["type"] == "table":
            _drop(panel["options"], _NOT_OF_TABLES)
    return plain


def text() -> str:
    """The JSON file: the same bytes for the same script."""
    return json.dumps(model(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def table() -> str:
    """The README's table of panels."""
    lines = ["| row | panel | the question it answers |", "| --- | --- | --- |"]
    row = ""
    for panel in model()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        question, _, _ = panel["description"].partition("?")
        lines.append(f"| {row} | {panel['title'].replace('$environment', '*environment*')} | {question}? |")
    return "\n".join([*lines, ""])


def with_table(readme: str) -> str:
    """The README with the table as it should be; raises ValueError if its marks are missing."""
    before, begins, rest = readme.partition(TABLE_BEGINS)
    _, ends, after = rest.partition(TABLE_ENDS)
    if not (begins and ends):
        raise ValueError(f"{README.name} lacks the lines between which the table of panels belongs")
    return before + begins + "\n" + table() + "\n" + ends + after


def _drop(values: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        values.pop(key, None)


def _variables() -> list[Builder[models.VariableModel]]:
    def of_label(name: str, label: str, expr: str, description: str) -> builders.QueryVariable:
        return (
            builders.QueryVariable(name)
            .label(label)
            .description(description)
            .datasource(SOURCE)
            .query({"query": expr, "refId": name, "qryType": 1})
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )

    return [
        builders.DatasourceVariable("datasource").label("Data source").type("prometheus").multi(multi=False),
        of_label(
            "environment",
            "Environment",
            "label_values(tigr_environment_info, environment)",
            "Which of the registry's environments to show.",
        ),
        of_label(
            "instance",
            "Monitor",
            "label_values(tigr_build_info, instance)",
            "Which monitors to believe. Where several watch an environment, the worst that one says is shown.",
        ),
    ]


def _alerts() -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(enable=True)
        .hide(hide=False)
        .icon_color(BAD)
        .target(query("alerts", FIRING))
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{environment}}")
        .tag_keys("severity,environment")
    )


def main() -> None:
    """Write both files."""
    FILE.write_text(text())
    README.write_text(with_table(README.read_text()))


if __name__ == "__main__":
    main()
