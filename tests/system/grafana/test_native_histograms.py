"""The queries of durations on Prometheus 3, which can convert classic histograms to native ones without `_bucket`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.grafana import dashboards
from tests.support.process import Monitor, wait_for
from tests.system.conftest import Programs
from tests.system.prometheus import rulefiles
from tests.system.prometheus.server import PrometheusServer, running

_QUERIES = [query for query in dashboards.queries() if "tigr_request_duration_seconds_bucket" in query.expr]
_RULES = [rule for rule in rulefiles.rules() if "tigr_request_duration_seconds_bucket" in rule["expr"]]
_PATIENCE = 120.0  # seconds

pytestmark = [pytest.mark.system, pytest.mark.needs("apt-get", "dpkg-deb"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def converted(programs_of_testing: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Yield a Prometheus that has converted the histograms of a monitor, after some logins and pings."""
    directory: Path = tmp_path_factory.mktemp("native")
    with ExitStack() as resources:
        simulator = resources.enter_context(Simulator())
        settings = simulator.settings() | {"TIGR_PING_INTERVAL": "2s", "TIGR_AUTH_INTERVAL": "6s"}
        monitor = resources.enter_context(Monitor(settings, directory))
        config = f"""
scrape_configs:
  - job_name: tigr-monitor
    scrape_interval: 1s
    scrape_timeout: 1s
    convert_classic_histograms_to_nhcb: true
    static_configs:
      - targets: ["127.0.0.1:{monitor.port}"]
"""
        prometheus = resources.enter_context(
            running(
                directory,
                config,
                program=programs_of_testing.path("prometheus"),
                arguments=["--enable-feature=native-histograms"],
            )
        )
        pinged = 'increase(tigr_requests_total{outcome="success",endpoint="token"}[1m]) > 1'
        wait_for(lambda: len(prometheus.now(pinged)) == 2, "logins of both environments", _PATIENCE)
        yield prometheus


def test_the_histograms_have_no_buckets(converted: PrometheusServer) -> None:
    """The fixture converts the histograms, so that the other test shows something."""
    assert converted.now("count(tigr_request_duration_seconds_bucket)") == []
    assert [sample.values for sample in converted.now("count(histogram_count(tigr_request_duration_seconds))")] == [
        [4.0]
    ]


@pytest.mark.parametrize("query", _QUERIES, ids=str)
def test_durations_are_shown_without_buckets(query: dashboards.Query, converted: PrometheusServer) -> None:
    """Medians and percentiles have a value for each environment; heatmaps have histograms."""
    instances = converted.label_values("tigr_build_info", "instance")
    expr = query.filled(900, {"environment": ["prod", "uat"], "instance": instances})
    if query.panel.endswith("durations"):
        expr = f"histogram_count({expr})"
    values = [value for sample in converted.now(expr) for value in sample.values]
    assert len(values) == (1 if query.panel.endswith("durations") else 2)
    assert all(math.isfinite(value) and value > 0 for value in values)


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: str(rule["record"]))
def test_the_recorded_medians_exist_without_buckets(rule: dict[str, str], converted: PrometheusServer) -> None:
    """Each environment has one, so the alerts about latency can fire."""
    medians = {sample.labels["environment"]: sample.values for sample in converted.now(rule["expr"])}
    assert medians.keys() == {"prod", "uat"}
    assert all(math.isfinite(value) and value > 0 for values in medians.values() for value in values)
