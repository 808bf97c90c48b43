"""The example configuration of Alertmanager: it is valid, and each alert goes to its receiver."""

from __future__ import annotations

import re
import subprocess

import pytest

from monitor.durations import parse
from tests.system.conftest import Programs
from tests.system.prometheus import rulefiles

pytestmark = [pytest.mark.system, pytest.mark.needs("amtool")]
FILE = str(rulefiles.FOLDER / "alertmanager.yml")


def amtool(programs: Programs, *arguments: str) -> str:
    """Run amtool and return its output."""
    command = [programs.path("amtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid(programs_of_debian: Programs) -> None:
    """The configuration passes amtool; only this test covers the time interval of uat."""
    output = amtool(programs_of_debian, "check-config", FILE)
    assert "SUCCESS" in output
    assert "3 receivers" in output


@pytest.mark.parametrize(
    "receiver,labels",
    [
        ("pager", {"alertname": "TigrPingFailing", "environment": "prod", "severity": "critical"}),
        ("pager", {"alertname": "TigrApiOpen", "environment": "uat", "severity": "critical"}),
        ("pager", {"alertname": "TigrMonitorDown", "severity": "critical"}),
        ("chat", {"alertname": "TigrPingFailing", "environment": "uat", "severity": "warning"}),
        ("chat", {"alertname": "TigrRateLimited", "environment": "prod", "severity": "warning"}),
        ("chat", {"alertname": "TigrConfigReloadFailed", "severity": "warning"}),
        ("dead-mans-switch", {"alertname": "TigrWatchdog", "severity": "none"}),
    ],
)
def test_an_alert_goes_to_its_receiver(receiver: str, labels: dict[str, str], programs_of_debian: Programs) -> None:
    """Critical alerts go to the pager, all others to the chat, and the watchdog to its own receiver."""
    matched = [f"{name}={value}" for name, value in labels.items()]
    output = amtool(programs_of_debian, "config", "routes", "test", f"--config.file={FILE}", *matched)
    assert output.split() == [receiver]


def test_no_rule_inhibits_another_instance() -> None:
    """Every rule requires the same instance, and the same environment if its alerts have one."""
    without_environment = ('alertname="TigrEveryEnvironmentFailing"', 'alertname="TigrMonitorInternalFault"')
    for rule in rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]:
        assert "instance" in rule["equal"]
        assert "environment" in rule["equal"] or rule["source_matchers"][0] in without_environment


def test_every_named_alert_exists() -> None:
    """Every alert that a rule or a route names exists."""
    text = (rulefiles.FOLDER / "alertmanager.yml").read_text(encoding="utf-8")
    named = [name for group in re.findall(r'alertname=~?"([^"]+)"', text) for name in group.split("|")]
    for name in named:
        assert any(re.fullmatch(name, alert) for alert in [*rulefiles.alerts(), "TigrWatchdog"]), name


def test_the_watchdog_is_sent_at_every_interval() -> None:
    """The watchdog repeats before its group interval ends: with equal values, every second message is dropped."""
    routes = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["route"]["routes"]
    (route,) = (route for route in routes if "TigrWatchdog" in route["matchers"][0])
    assert parse(route["repeat_interval"]) < parse(route["group_interval"])


def test_nothing_inhibits_the_overspent_budget() -> None:
    """The third window of the objective is sent even if the outages had alerts of their own."""
    for rule in rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]:
        for matcher in rule["target_matchers"]:
            assert not re.search(r'alertname=~?"(.*)"', matcher) or not re.fullmatch(
                matcher.split('"')[1], "TigrErrorBudgetOverspent"
            )


def inhibits(source: dict[str, str], target: dict[str, str]) -> bool:
    """Return whether an inhibit rule applies to two alerts of one instance."""

    def matches(matchers: list[str], labels: dict[str, str]) -> bool:
        parts = [re.fullmatch(r'(\w+)=~?"([^"]*)"', matcher) for matcher in matchers]
        return all(part and re.fullmatch(part[2], labels.get(part[1], "")) for part in parts)

    rules = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]
    return any(
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(name) == target.get(name) for name in rule["equal"])
        for rule in rules
    )


def test_a_fault_of_the_monitor_inhibits_tickets_about_its_token_but_no_page() -> None:
    """The monitor cannot log in, so its token expires; the alert about the monitor is the one to act on."""
    fault = {"alertname": "TigrMonitorInternalFault", "instance": "a", "severity": "critical"}
    gone = {"alertname": "TigrTokenHeadroomGone", "instance": "a", "environment": "prod", "severity": "warning"}
    assert inhibits(fault, gone)
    assert not inhibits(fault, gone | {"instance": "b"})
    assert not inhibits(fault, gone | {"alertname": "TigrTokenHeadroomLow", "severity": "critical"})
