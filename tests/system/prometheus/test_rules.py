"""The rules: each alert has test cases, annotations and a section in the runbook, and uses only existing metrics."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from monitor.durations import parse
from tests.support import promql
from tests.support.checkout import ROOT
from tests.system.conftest import Programs
from tests.system.prometheus import rulefiles

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # the subject is not the monitor
]

ALERTS = rulefiles.alerts()
RUNBOOK = (rulefiles.FOLDER / "RUNBOOK.md").read_text(encoding="utf-8")
EXPRESSIONS = [rule["expr"] for rule in rulefiles.rules()]
each_alert = pytest.mark.parametrize("name", ALERTS)
each_expression = pytest.mark.parametrize("expr", EXPRESSIONS)
ALERTNAME = re.compile(r'alertname(=~?)"([^"]+)"')
# These alerts use windows of recorded series, which a restart does not remove; slo.yml has a case with a restart.
WINDOWED = {"TigrErrorBudgetBurnFast"}
# The time for which the condition of an alert can hold after the end of its cause.
LATER = {
    "TigrErrorBudgetBurnFast": "5m",  # its short window
    "TigrNoToken": "30s",  # the next ping after the login
    "TigrPingFailing": "2m",  # its window of the counter of incidents
}
# The time for which the conditions of inhibited alerts can hold after the condition of this alert.
LATER_THAN = {
    "TigrEveryEnvironmentFailing": "5m",  # ends with the first environment; the next login of another follows in 5 min
}
# Inhibited alerts that may be sent after the end of the inhibiting alert, with the reason.
MAY_FOLLOW = {
    ("TigrErrorBudgetBurnFast", "TigrErrorBudgetBurnSlow"): "its rule waits for half an hour after the other",
    ("TigrPingLatencyHigh", "TigrPingLatencyUnusual"): "a correct ticket: about an hour, not about minutes",
    ("TigrTokenLatencyHigh", "TigrTokenLatencyUnusual"): "a correct ticket: less slow, but still unusual",
}
ANNOTATIONS = {"summary", "description", "host", "do_not", "runbook_url"}
INTERVALS = {
    "tigr-latency": "1m",
    "tigr-causes": "5s",
    "tigr-token": "5s",
    "tigr-quality": "30s",
    "tigr-monitor": "5s",
    "tigr-slo": "30s",
    "tigr-slo-days": "5m",
}
checked_by_promtool = pytest.mark.needs("promtool")


def _cases(name: str) -> list[dict[str, Any]]:
    """Return the expectations of the promtool tests about an alert."""
    expected = [case for test in rulefiles.cases() for case in test.get("alert_rule_test", [])]
    return [case for case in expected if case["alertname"] == name]


def _joined(expr: str) -> set[str]:
    """Return the labels that an expression joins from other series."""
    return {label.strip() for labels in re.findall(r"group_left \(([^)]*)\)", expr) for label in labels.split(",")}


def _kept(name: str) -> float:
    """Return the seconds for which an alert fires after the end of its condition."""
    return parse(ALERTS[name].get("keep_firing_for", "0s"))


def _named(matchers: list[str]) -> set[str]:
    """Return the alerts whose name matches; other matchers are ignored, because they can only exclude alerts."""
    (operator, name) = next(m.groups() for matcher in matchers if (m := ALERTNAME.fullmatch(matcher)))
    return {alert for alert in ALERTS if (re.fullmatch(name, alert) if operator == "=~" else name == alert)}


def _inhibitions() -> list[tuple[str, str]]:
    """Return all pairs of an inhibiting and an inhibited alert."""
    return sorted(
        {
            (source, target)
            for rule in rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]
            for source, target in itertools.product(_named(rule["source_matchers"]), _named(rule["target_matchers"]))
        }
    )


def _outlasts(source: str, target: str) -> bool:
    """Return True if the source still fires one minute after the latest possible end of the target."""
    later = parse(LATER.get(target, "0s")) + parse(LATER_THAN.get(source, "0s"))
    return _kept(source) >= _kept(target) + later + parse("1m")


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Return the labels by metric of a monitor."""
    return promql.exported()


def promtool(programs: Programs, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool in the folder of the rules."""
    command = [programs.path("promtool"), *map(str, arguments)]
    return subprocess.run(command, cwd=rulefiles.FOLDER, capture_output=True, text=True, timeout=600, check=False)


@each_alert
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    """The promtool tests contain a case in which the alert fires and one in which it does not."""
    assert {True, False} <= {bool(case.get("exp_alerts")) for case in _cases(name)}


def test_every_recorded_series_has_a_case() -> None:
    """The promtool tests contain a case for every recorded series."""
    tested = {
        name
        for test in rulefiles.cases()
        for case in test.get("promql_expr_test", [])
        for name in promql.names(case["expr"])
    }
    assert rulefiles.recorded() - tested == set()


@pytest.mark.parametrize("path", rulefiles.CASES, ids=lambda path: path.name)
def test_cases_evaluate_every_group_in_one_order(path: Path) -> None:
    """Every test file names all groups: promtool evaluates other groups in a random order."""
    assert sorted(rulefiles.load(path)["group_eval_order"]) == sorted(rulefiles.groups())


@each_alert
def test_every_alert_has_annotations_and_a_runbook_section(name: str) -> None:
    """Every alert has a summary that is a sentence, a description, and an existing section of the runbook."""
    annotations = ALERTS[name]["annotations"]
    assert {"summary", "description", "runbook_url"} <= annotations.keys() <= ANNOTATIONS
    assert annotations["summary"].endswith((".", "?"))
    assert "{{" in annotations["summary"] or name == "TigrMonitorAbsent"
    assert annotations["runbook_url"].endswith(f"/prometheus/RUNBOOK.md#{name.lower()}")
    assert f"\n### {name}\n" in RUNBOOK


def test_every_section_of_the_runbook_is_an_existing_alert() -> None:
    """The runbook has exactly one section for each alert."""
    assert set(re.findall(r"^### (Tigr\w+)$", RUNBOOK, flags=re.MULTILINE)) == {*ALERTS, "TigrWatchdog"}


def test_the_watchdog_always_fires_and_is_no_page() -> None:
    """The watchdog is not among the rules, and its severity is neither that of a page nor of a ticket."""
    ((rule,),) = (group["rules"] for group in rulefiles.load(rulefiles.WATCHDOG)["groups"])
    assert (rule["alert"], rule["expr"], rule["labels"]) == ("TigrWatchdog", "vector(1)", {"severity": "none"})
    assert rule["annotations"]["runbook_url"].endswith("/prometheus/RUNBOOK.md#tigrwatchdog")
    assert "TigrWatchdog" not in ALERTS


@each_alert
def test_every_alert_has_a_severity(name: str) -> None:
    """An alert has a fixed severity or that of its environment, never both: the fixed one would override."""
    rule = ALERTS[name]
    fixed = rule.get("labels", {}).get("severity")
    assert fixed in (None, "critical", "warning")
    assert (fixed is None) == ("severity" in _joined(rule["expr"]))


@each_alert
def test_a_joined_label_is_no_part_of_the_identity(name: str) -> None:
    """An alert clears the reason and the hosts: a change of them would be another alert."""
    rule = ALERTS[name]
    cleared = {label for label, value in rule.get("labels", {}).items() if value == ""}
    assert cleared >= _joined(rule["expr"]) - {"severity"}
    labels = [alert["exp_labels"].keys() for case in _cases(name) for alert in case.get("exp_alerts") or []]
    assert labels
    assert set().union(*labels) <= {"environment", "endpoint", "instance", "job", "severity"}


@each_alert
def test_no_text_queries(name: str) -> None:
    """No text runs a query: it would see another scrape than the expression, and nothing after the end of the cause."""
    assert not re.search(r"\bquery\b", "".join(ALERTS[name]["annotations"].values()))


@each_alert
def test_summaries_name_the_login(name: str) -> None:
    """A summary says "login" or "ping", not the value of the label."""
    assert "{{ $labels.endpoint }}" not in ALERTS[name]["annotations"]["summary"]


@pytest.mark.parametrize("group", rulefiles.group_list(), ids=lambda group: group["name"])
def test_every_group_has_an_interval(group: dict[str, Any]) -> None:
    """Every group has its own interval, because the default of Prometheus is a minute."""
    assert group["interval"] == INTERVALS[group["name"]]


def test_the_scrape_job_has_an_interval() -> None:
    """The job has its own interval, which goes with it into another configuration; the PodMonitor has the same one."""
    (job,) = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")["scrape_configs"]
    (endpoint,) = rulefiles.load(ROOT / "kubernetes" / "podmonitor.yaml")["spec"]["podMetricsEndpoints"]
    assert (job["scrape_interval"], job["scrape_timeout"]) == (endpoint["interval"], endpoint["scrapeTimeout"])
    assert job["scrape_interval"] == "5s"


@pytest.mark.parametrize("group", rulefiles.group_list(), ids=lambda group: group["name"])
def test_maintenance_removes_every_alert_about_an_environment(group: dict[str, Any]) -> None:
    """The expressions exclude maintenance windows, except the alerts about the monitor itself."""
    for rule in group["rules"]:
        excludes = bool(re.search(r"tigr_maintenance|tigr:endpoint:failures", rule["expr"]))
        assert excludes == (group["name"] != "tigr-monitor") or "record" in rule, rule


def test_the_windows_of_the_objective_hold_four_scrapes() -> None:
    """No window of a counter is shorter than four scrape intervals of 60 s."""
    windows = [w for expr in EXPRESSIONS for w in re.findall(r"_seconds_total\[(\w+)\]", expr)]
    assert len(set(windows)) > 4
    assert min(parse(window) for window in windows if not window.endswith("d")) >= 240


@each_alert
def test_a_page_outlasts_a_restart_of_the_monitor(name: str) -> None:
    """Every page keeps firing for 6 minutes: a restart removes its series until the first attempts have failed."""
    rule = ALERTS[name]
    may_page = rule.get("labels", {}).get("severity") != "warning"
    about_monitor = "up{" in rule["expr"]
    assert _kept(name) >= parse("6m") or name in WINDOWED or not may_page or about_monitor


@pytest.mark.parametrize("source,target", _inhibitions())
def test_an_inhibiting_alert_outlasts_the_inhibited_one(source: str, target: str) -> None:
    """An inhibiting alert fires one minute longer than the inhibited one, except the listed pairs."""
    assert _outlasts(source, target) != ((source, target) in MAY_FOLLOW)


def test_each_exception_exists() -> None:
    """Every listed exception is an existing alert or an existing pair."""
    assert MAY_FOLLOW.keys() <= set(_inhibitions())
    assert LATER.keys() | LATER_THAN.keys() | WINDOWED <= ALERTS.keys()


@each_expression
def test_rules_use_existing_metrics_and_labels(expr: str, exported: dict[str, set[str]]) -> None:
    """Every metric and label of an expression exists in the code."""
    promql.check_labels(expr, exported)


@each_expression
def test_rules_use_existing_values(expr: str) -> None:
    """Every reason and endpoint in an expression exists in the code."""
    promql.check_values(expr)


@each_expression
def test_rules_use_existing_recorded_series(expr: str) -> None:
    """Every recorded series in an expression has a recording rule."""
    assert {name for name in promql.names(expr) if ":" in name} <= rulefiles.recorded()


@pytest.mark.system
@checked_by_promtool
def test_promtool_accepts_the_configuration(programs_of_debian: Programs) -> None:
    """The configuration and its rules pass promtool without an error or a warning."""
    done = promtool(programs_of_debian, "check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rulefiles.RULES) + 1} rule files found" in done.stdout  # and the watchdog


@pytest.mark.system
@pytest.mark.timeout(900)  # 90 s of processor time per version
@checked_by_promtool
def test_the_cases_hold(programs_of_debian: Programs) -> None:
    """Each alert fires with exactly the expected labels and texts, and stays silent just below its limit."""
    slowest_first = sorted(rulefiles.CASES, key=lambda path: path.name, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda path: promtool(programs_of_debian, "test", "rules", path), slowest_first)
        failed = [done.stdout + done.stderr for done in results if done.returncode]
    assert failed == []
