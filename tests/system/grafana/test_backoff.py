"""The Backoff panel shows a stopped login as a text and a pause as seconds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.grafana import dashboards

_QUERIES = [query for query in dashboards.queries() if query.panel == "Backoff"]


def _mapped() -> dict[str, str]:
    """Return the text of each value that the panel maps."""
    (panel,) = (panel for panel in dashboards.panels() if panel["title"] == "Backoff")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert mapping["type"] == "value"
    return {value: result["text"] for value, result in mapping["options"].items()}


def _case(query: dashboards.Query, scraped: str, drawn: float) -> dict[str, object]:
    """Return a case for promtool: one scraped value of each endpoint, and the sample that the panel draws."""
    chosen = {"environment": ["prod"], "instance": ["m:9844"]}
    labels = 'environment="prod", instance="m:9844", job="tigr-monitor"'
    series = [f'tigr_backoff_seconds{{endpoint="{endpoint}", {labels}}}' for endpoint in ("token", "ping")]
    expected = [{"labels": '{environment="prod"}', "value": drawn}]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": scraped} for name in series],
        "promql_expr_test": [{"eval_time": "0m", "expr": query.filled(3600, chosen), "exp_samples": expected}],
    }


def test_the_panel_maps_one_value_to_stopped() -> None:
    """The only mapped value of the panel is the one that stands for +Inf, and its text is "stopped"."""
    assert list(_mapped().values()) == ["stopped"]


@pytest.mark.system
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("query", _QUERIES, ids=str)
def test_infinity_becomes_the_mapped_value_and_a_pause_stays(query: dashboards.Query, tmp_path: Path) -> None:
    """Prometheus returns exactly the mapped value for +Inf, and a pause of an hour or a day unchanged."""
    (stopped,) = _mapped()
    drawn = {"Inf": float(stopped), "0": 0.0, "3600": 3600.0, "86400": 86400.0}
    cases = [_case(query, scraped, value) for scraped, value in drawn.items()]
    file = tmp_path / "backoff.json"  # JSON is YAML
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": cases}))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
