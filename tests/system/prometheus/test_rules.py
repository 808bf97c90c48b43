"""The rules: each alert has its cases, its words and its section in the runbook, and asks only for what exists."""

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
# Judged over windows of recorded series, of which a restart takes none away: the cases in slo.yml have one.
WINDOWED = {"TigrErrorBudgetBurnFast"}
# How much longer than its cause a condition can hold.
LATER = {
    "TigrErrorBudgetBurnFast": "5m",  # its short window
    "TigrNoToken": "30s",  # the next ping after the login
}
# How much longer than this condition those of others can hold that it explains.
LATER_THAN = {
    "TigrEveryEnvironmentFailing": "5m",  # ends with the first environment; the next login of another is due then
}
# Who may be told when the other is over, and why that is right.
TOLD_AFTERWARDS = {
    ("TigrErrorBudgetBurnFast", "TigrErrorBudgetBurnSlow"): "waits by itself for half an hour after the other",
    ("TigrPingLatencyHigh", "TigrPingLatencyUnusual"): "a ticket that says what is true: of an hour, not of minutes",
    ("TigrTokenLatencyHigh", "TigrTokenLatencyUnusual"): "a ticket that says what is true: less slow, yet unusual",
}
checked_by_promtool = pytest.mark.needs("promtool")


def _kept(name: str) -> float:
    """Seconds for which an alert goes on when its condition is over."""
    return parse(ALERTS[name].get("keep_firing_for", "0s"))


def _named(matchers: list[str]) -> set[str]:
    """The alerts that matchers can match, by their name; what else they ask for only makes them fewer."""
    (operator, name) = next(m.groups() for matcher in matchers if (m := ALERTNAME.fullmatch(matcher)))
    return {alert for alert in ALERTS if (re.fullmatch(name, alert) if operator == "=~" else name == alert)}


def _silencings() -> list[tuple[str, str]]:
    """Who silences whom."""
    return sorted(
        {
            (source, target)
            for rule in rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]
            for source, target in itertools.product(_named(rule["source_matchers"]), _named(rule["target_matchers"]))
        }
    )


def _outlasts(source: str, target: str) -> bool:
    """Whether one still fires a minute after the end of the other, however late that is."""
    later = parse(LATER.get(target, "0s")) + parse(LATER_THAN.get(source, "0s"))
    return _kept(source) >= _kept(target) + later + parse("1m")


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """What a monitor exports."""
    return promql.exported()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What promtool says."""
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, cwd=rulefiles.FOLDER, capture_output=True, text=True, timeout=50, check=False)


@each_alert
def test_every_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    """An alert that never fired, or that nobody saw stay silent, is a hope."""
    expected = [
        bool(case.get("exp_alerts"))
        for test in rulefiles.cases()
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == name
    ]
    assert {True, False} <= set(expected)


def test_every_recorded_series_has_a_case() -> None:
    """What the alerts are built from is looked at by itself."""
    asked = {
        name
        for test in rulefiles.cases()
        for case in test.get("promql_expr_test", [])
        for name in promql.names(case["expr"])
    }
    assert rulefiles.recorded() - asked == set()


@pytest.mark.parametrize("path", rulefiles.CASES, ids=lambda path: path.name)
def test_cases_evaluate_every_group_in_one_order(path: Path) -> None:
    """The groups that are not named are shuffled by promtool, and a case would pass by chance."""
    assert sorted(rulefiles.load(path)["group_eval_order"]) == sorted(rulefiles.groups())


@each_alert
def test_every_alert_says_what_is_wrong_and_where_to_read_on(name: str) -> None:
    """A summary that is a sentence, a description, and a section of the runbook that exists."""
    annotations = ALERTS[name]["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith((".", "?"))
    assert "{{" in annotations["summary"] or name == "TigrMonitorAbsent"
    assert annotations["runbook_url"].endswith(f"/prometheus/RUNBOOK.md#{name.lower()}")
    assert f"\n### {name}\n" in RUNBOOK


def test_the_runbook_knows_no_alert_that_does_not_exist() -> None:
    """A section of an alert that was renamed is found by nobody."""
    assert set(re.findall(r"^### (Tigr\w+)$", RUNBOOK, flags=re.MULTILINE)) == set(ALERTS)


@each_alert
def test_every_alert_has_a_severity(name: str) -> None:
    """Its own, or its environment's: never both, for the rule's would win."""
    rule = ALERTS[name]
    own = rule.get("labels", {}).get("severity")
    assert own in (None, "critical", "warning")
    assert (own is None) == bool(re.search(r"group_left \(severity\) \(?\s*tigr:severity\b", rule["expr"]))


@each_alert
def test_a_page_outlasts_a_restart_of_the_monitor(name: str) -> None:
    """Series are gone until the first attempts after a restart have failed: that is no recovery."""
    rule = ALERTS[name]
    may_page = rule.get("labels", {}).get("severity") != "warning"
    about_monitor = "up{" in rule["expr"]
    assert _kept(name) >= parse("6m") or name in WINDOWED or not may_page or about_monitor


@pytest.mark.parametrize("source,target", _silencings())
def test_who_silences_another_outlasts_it(source: str, target: str) -> None:
    """What is silenced up to its end is never told; a moment more, and it is a message after the incident."""
    assert _outlasts(source, target) != ((source, target) in TOLD_AFTERWARDS)


def test_each_exemption_is_of_something_that_exists() -> None:
    """One for an alert that was renamed, or is silenced no more, hides the next mistake."""
    assert TOLD_AFTERWARDS.keys() <= set(_silencings())
    assert LATER.keys() | LATER_THAN.keys() | WINDOWED <= ALERTS.keys()


@each_expression
def test_rules_ask_for_metrics_and_labels_that_exist(expr: str, exported: dict[str, set[str]]) -> None:
    """A metric or a label that is renamed in the code is missed here."""
    promql.check_labels(expr, exported)


@each_expression
def test_rules_ask_for_values_that_exist(expr: str) -> None:
    """A reason or an endpoint that is asked for by name is one of the code's."""
    promql.check_values(expr)


@each_expression
def test_rules_ask_for_recorded_series_that_exist(expr: str) -> None:
    """A recording rule that is renamed takes no alert with it."""
    assert {name for name in promql.names(expr) if ":" in name} <= rulefiles.recorded()


@pytest.mark.system
@checked_by_promtool
def test_promtool_finds_nothing_wrong() -> None:
    """The configuration, and the rules that it names, as Debian's Prometheus reads them."""
    done = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rulefiles.RULES)} rule files found" in done.stdout


@pytest.mark.system
@checked_by_promtool
@pytest.mark.parametrize("path", rulefiles.CASES, ids=lambda path: path.name)
def test_the_cases_hold(path: Path) -> None:
    """Each alert fires with exactly these labels and words, and stays silent close to it."""
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
