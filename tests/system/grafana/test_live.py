"""Every panel on a real Prometheus that scraped the demo during all its incidents and a monitor without incidents."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from monitor.model import Reason
from monitor.simulator import Simulator
from tests.grafana import dashboards
from tests.support.process import Monitor, clean, command, free_port, wait_for
from tests.system.prometheus import rulefiles
from tests.system.prometheus.server import PrometheusServer, SeriesSample, running

_ROUND_TIMEOUT = 240.0  # seconds; the demo takes three minutes for all its incidents
_MAX_QUERY_DURATION = 0.1  # seconds
_VIEW = 900.0  # seconds: longer than the demo takes
_QUERIES = list(dashboards.queries())
_OF_PANELS = [query for query in _QUERIES if query.ref != "annotation"]
# Recorded from a day of observed time on, or every five minutes.
_LATER = ("tigr:availability:30d", "tigr:error_budget_remaining:30d", "tigr:burn_rate:3d")
_AT_ONCE = [query for query in _OF_PANELS if not any(name in query.expr for name in _LATER)]
# Reasons that no incident of the demo causes.
_NOT_IN_THE_DEMO = {Reason.DNS, Reason.INTERNAL}

# The fixture waits for all incidents of the demo, which take three minutes.
pytestmark = [pytest.mark.system, pytest.mark.needs("prometheus"), pytest.mark.timeout(_ROUND_TIMEOUT + 60)]


@dataclass(frozen=True, slots=True)
class ScrapedMonitors:
    """A Prometheus, and the addresses of the two monitors that it scraped."""

    prometheus: PrometheusServer
    demo: str
    calm: str  # without incidents

    def result(self, query: dashboards.Query, environments: list[str], instances: list[str]) -> list[SeriesSample]:
        """Return the result of a query with these values of the variables."""
        expr = query.filled(_VIEW, {"environment": environments, "instance": instances})
        if query.instant:
            return self.prometheus.now(expr)
        return self.prometheus.over(expr, _VIEW, query.step(_VIEW))


def _config(*targets: str) -> str:
    files = "".join(f"\n  - {file}" for file in rulefiles.RULES)
    return f"""
global:
  scrape_interval: {dashboards.SCRAPE:.0f}s
  evaluation_interval: {dashboards.SCRAPE:.0f}s
rule_files: {files}
scrape_configs:
  - job_name: tigr-monitor
    static_configs:
      - targets: [{", ".join(f'"{target}"' for target in targets)}]
"""


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScrapedMonitors]:
    """Yield both monitors after the demo has shown all its incidents once."""
    directory = tmp_path_factory.mktemp("live")
    intervals = {"TIGR_PING_INTERVAL": "2s", "TIGR_AUTH_INTERVAL": "10s"}
    with ExitStack() as resources:
        simulator = resources.enter_context(Simulator())
        calm = resources.enter_context(Monitor(simulator.settings() | intervals, directory))
        demo, log_file = f"127.0.0.1:{free_port()}", directory / "demo.log"
        log = resources.enter_context(log_file.open("wb"))
        process = subprocess.Popen(command("demo", "--listen", demo), env=clean({}), stdout=log, stderr=log)
        resources.callback(process.wait, 30)
        resources.callback(process.terminate)
        calm_at = f"127.0.0.1:{calm.port}"
        prometheus = resources.enter_context(running(directory, _config(demo, calm_at)))
        wait_for(
            lambda: process.poll() is not None or "It starts again" in log_file.read_text(),
            "the incidents of the demo",
            _ROUND_TIMEOUT,
        )
        assert process.poll() is None, log_file.read_text()
        yield ScrapedMonitors(prometheus, demo, calm_at)


@pytest.mark.parametrize("query", _AT_ONCE, ids=str)
def test_no_panel_is_empty(query: dashboards.Query, scraped: ScrapedMonitors) -> None:
    """Every query returns data for every selection, with and without incidents."""
    selections = [
        (["prod", "uat"], [scraped.demo, scraped.calm]),
        (["prod", "uat"], [scraped.calm]),
        (["prod"], [scraped.calm]),
        (["uat"], [scraped.demo]),
    ]
    for environments, instances in selections:
        if query.repeated:
            environments = environments[:1]  # noqa: PLW2901 - Grafana repeats such a panel per environment
        result = scraped.result(query, environments, instances)
        finite = [sample for sample in result if any(math.isfinite(value) for value in sample.values)]
        assert finite, f"no data for {environments} of {instances}"


@pytest.mark.parametrize("query", _QUERIES, ids=str)
def test_every_query_is_fast(query: dashboards.Query, scraped: ScrapedMonitors) -> None:
    """The fastest of three runs of a query takes less than 100 ms: the dashboard runs all of them every 30 s."""
    durations = []
    for _ in range(3):
        began = time.perf_counter()
        scraped.result(query, ["prod", "uat"], [scraped.demo, scraped.calm])
        durations.append(time.perf_counter() - began)
    assert min(durations) < _MAX_QUERY_DURATION


def test_series_of_a_panel_have_unique_names(scraped: ScrapedMonitors) -> None:
    """The legend of a query gives each series of its result a different name."""
    for query in _OF_PANELS:
        result = scraped.result(query, ["prod", "uat"], [scraped.demo, scraped.calm])
        if not query.legend:
            continue
        names = [_named(query.legend, sample.labels) for sample in result]
        assert len(set(names)) == len(names), f"{query}: {names}"


def _named(legend: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    assert "{{" not in legend, f"{legend}: {labels}"
    return legend


def test_the_timeline_shows_the_reasons_of_the_demo(scraped: ScrapedMonitors) -> None:
    """The timeline shows the reason of nearly every incident of the demo."""
    (timeline,) = (panel for panel in dashboards.panels() if panel["title"] == "Outcome by reason")
    (mapping,) = timeline["fieldConfig"]["defaults"]["mappings"]
    seen = {
        mapping["options"][f"{value:.0f}"]["text"]
        for query in _QUERIES
        if query.panel == "Outcome by reason"
        for sample in scraped.result(query, ["prod", "uat"], [scraped.demo])
        for value in sample.values
    }
    # An incident lasts four seconds, and Prometheus scrapes every five: it can miss an incident.
    assert len({"ok", *Reason} - _NOT_IN_THE_DEMO - seen) <= 4, seen
    assert {"ok", "no_token", "unauthorized", "server_error", "proxy"} <= seen


def test_without_incidents_the_states_are_green(scraped: ScrapedMonitors) -> None:
    """Without failures, the states of login and ping are 0 (ok)."""
    for query in _QUERIES:
        if query.panel in ("Ping", "Login"):
            result = scraped.result(query, ["prod", "uat"], [scraped.calm])
            assert [(sample.labels["environment"], sample.values) for sample in result] == [
                ("prod", [0.0]),
                ("uat", [0.0]),
            ]


def test_the_variables_list_environments_and_monitors(scraped: ScrapedMonitors) -> None:
    """The variables list both environments and both monitors."""
    prometheus = scraped.prometheus
    assert prometheus.label_values("tigr_build_info", "job") == ["tigr-monitor"]
    assert prometheus.label_values("tigr_environment_info", "environment") == ["prod", "uat"]
    assert prometheus.label_values("tigr_build_info", "instance") == sorted([scraped.demo, scraped.calm])
