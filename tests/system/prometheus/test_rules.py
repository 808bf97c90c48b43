"""The rules: each alert has test cases, annotations and a section in the runbook, and uses only existing metrics."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

import pytest

from monitor.durations import parse
from tests.support import promql
from tests.system.prometheus import rulefiles

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
checked_by_promtool = pytest.mark.needs("promtool")


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


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool in the folder of the rules."""
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, cwd=rulefiles.FOLDER, capture_output=True, text=True, timeout=50, check=False)


@each_alert
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    """The promtool tests contain a case in which the alert fires and one in which it does not."""
    expected = [
        bool(case.get("exp_alerts"))
        for test in rulefiles.cases()
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == name
    ]
    assert {True, False} <= set(expected)


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
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith((".", "?"))
    assert "{{" in annotations["summary"] or name == "TigrMonitorAbsent"
    assert annotations["runbook_url"].endswith(f"/prometheus/RUNBOOK.md#{name.lower()}")
    assert f"\n### {name}\n" in RUNBOOK


def test_every_section_of_the_runbook_is_an_existing_alert() -> None:
    """The runbook has exactly one section for each alert."""
    assert set(re.findall(r"^### (Tigr\w+)$", RUNBOOK, flags=re.MULTILINE)) == set(ALERTS)


@each_alert
def test_every_alert_has_a_severity(name: str) -> None:
    """An alert has a fixed severity or that of its environment, never both: the fixed one would override."""
    rule = ALERTS[name]
    fixed = rule.get("labels", {}).get("severity")
    assert fixed in (None, "critical", "warning")
    assert (fixed is None) == bool(re.search(r"group_left \(severity\) \(?\s*tigr:severity\b", rule["expr"]))


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
def test_promtool_accepts_the_configuration() -> None:
    """The configuration and its rules pass promtool without an error or a warning."""
    done = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rulefiles.RULES)} rule files found" in done.stdout


@pytest.mark.system
@checked_by_promtool
@pytest.mark.parametrize("path", rulefiles.CASES, ids=lambda path: path.name)
def test_the_cases_hold(path: Path) -> None:
    """Each alert fires with exactly the expected labels and texts, and stays silent just below its limit."""
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
