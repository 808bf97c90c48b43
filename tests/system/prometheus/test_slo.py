"""The burn rate on data of seven hours in a real Prometheus: the scrape interval does not change it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from monitor.model import Reason
from monitor.reporting.observed_time import ObservedTime
from tests.support.process import wait_for
from tests.support.results import make_result
from tests.system.prometheus import rulefiles
from tests.system.prometheus.server import PrometheusServer, running

pytestmark = [pytest.mark.system, pytest.mark.needs("prometheus", "promtool"), pytest.mark.timeout(180)]

DURATION, PROBE_INTERVAL, TIMEOUT = 7 * 3600, 15, 10.0  # seconds
SCRAPES = (5, 15, 30, 60)  # seconds
UP, DOWN = make_result(status=200), make_result(status=503, reason=Reason.SERVER_ERROR)
# Whether the probe at this second fails, and the share of the time that is down.
PATTERNS: dict[str, tuple[Callable[[int], bool], float]] = {
    "flapping": (lambda second: second % 60 == 45, 1 / 4),
    "minutes": (lambda second: second % 300 < 60, 1 / 5),
    "hours": (lambda second: second % 5400 < 900, 1 / 6),
}


def _samples(fails: Callable[[int], bool], scrape: int) -> Iterator[tuple[int, float, float]]:
    """Yield second, observed time and down time for each scrape of a monitor with this pattern of failures."""
    times = ObservedTime(PROBE_INTERVAL, TIMEOUT)
    offset = scrape // 3  # scrapes and probes do not coincide
    for second in range(DURATION):
        if second % PROBE_INTERVAL == 0:
            times.run_started(second)
            times.probe_started(second)
            times.probe_ended(DOWN if fails(second) else UP, second + 0.1)
        if second % scrape == offset:
            yield second, *times.totals(second + 0.5)


def _exposition(end: float) -> str:
    """Return the samples of all patterns and scrape intervals as OpenMetrics text, up to this Unix time."""
    lines: dict[str, list[str]] = {"observed": [], "down": []}
    for environment, (fails, _) in PATTERNS.items():
        for scrape in SCRAPES:
            labels = f'environment="{environment}",endpoint="ping",instance="{scrape}s",job="tigr-monitor"'
            for second, observed, down in _samples(fails, scrape):
                stamp = end - DURATION + second
                lines["observed"].append(f"tigr_observed_seconds_total{{{labels}}} {observed} {stamp:.3f}")
                lines["down"].append(f"tigr_down_seconds_total{{{labels}}} {down} {stamp:.3f}")
    blocks = ["\n".join([f"# TYPE tigr_{name}_seconds counter", *of_name]) for name, of_name in lines.items()]
    return "\n".join([*blocks, "# EOF", ""])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Yield a Prometheus with the data and with the shipped rules of the objective, evaluated every second."""
    directory = tmp_path_factory.mktemp("slo")
    text = directory / "samples.txt"
    text.write_text(_exposition(time.time()))
    _load(text, directory / "data")
    rules = rulefiles.load(rulefiles.FOLDER / "rules" / "slo.yml")
    for group in rules["groups"]:
        group["interval"] = "1s"
    (directory / "rules.yml").write_text(yaml.safe_dump(rules))
    with running(directory, "rule_files: [rules.yml]\n") as server:
        yield server


def _load(text: Path, data: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _burns(prometheus: PrometheusServer, window: str, environment: str) -> dict[str, float]:
    """Return the recorded burn rate by scrape interval, as soon as it is recorded for all of them."""
    expr = f'tigr:burn_rate:{window}{{environment="{environment}"}}'
    wait_for(lambda: len(prometheus.now(expr)) == len(SCRAPES), expr)
    return {sample.labels["instance"]: sample.values[0] for sample in prometheus.now(expr)}


@pytest.mark.parametrize(
    "window,environment",
    [("1h", "flapping"), *((window, environment) for window in ("6h", "3d") for environment in PATTERNS)],
)
def test_the_burn_rate_does_not_depend_on_the_scrape_interval(
    prometheus: PrometheusServer, window: str, environment: str
) -> None:
    """At every scrape interval, the burn rate is the share of the down time within 10 %."""
    share = PATTERNS[environment][1]
    burns = _burns(prometheus, window, environment)
    assert burns == pytest.approx(dict.fromkeys(burns, share / 0.005), rel=0.1)


def test_the_budget_is_not_shown_before_a_day_was_observed(prometheus: PrometheusServer) -> None:
    """After seven hours there is an observed time, but no availability and no remaining budget."""
    wait_for(lambda: prometheus.now("tigr:observed_seconds:30d"), "the observed time")
    observed = [sample.values[0] for sample in prometheus.now("tigr:observed_seconds:30d")]
    assert observed == pytest.approx([DURATION] * len(observed), rel=0.01)
    assert prometheus.now("tigr:availability:30d or tigr:error_budget_remaining:30d") == []
