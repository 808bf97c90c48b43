"""The example for Alertmanager: valid, and each alert goes where it should."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.system.prometheus import rulefiles

pytestmark = [pytest.mark.system, pytest.mark.needs("amtool")]
FILE = str(rulefiles.FOLDER / "alertmanager.yml")


def amtool(*arguments: str) -> str:
    """What amtool says."""
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid() -> None:
    """The time interval of uat, which no route test looks at, is checked here alone."""
    said = amtool("check-config", FILE)
    assert "SUCCESS" in said
    assert "2 receivers" in said


@pytest.mark.parametrize(
    "receiver,labels",
    [
        ("pager", {"alertname": "TigrPingFailing", "environment": "prod", "severity": "critical"}),
        ("pager", {"alertname": "TigrApiOpen", "environment": "uat", "severity": "critical"}),
        ("pager", {"alertname": "TigrMonitorDown", "severity": "critical"}),
        ("chat", {"alertname": "TigrPingFailing", "environment": "uat", "severity": "warning"}),
        ("chat", {"alertname": "TigrRateLimited", "environment": "prod", "severity": "warning"}),
        ("chat", {"alertname": "TigrConfigReloadFailed", "severity": "warning"}),
    ],
)
def test_an_alert_goes_to_its_receiver(receiver: str, labels: dict[str, str]) -> None:
    """What pages goes to the pager, and all else to the chat."""
    said = amtool(
        "config", "routes", "test", f"--config.file={FILE}", *(f"{name}={value}" for name, value in labels.items())
    )
    assert said.split() == [receiver]


def test_nothing_silences_another_instance() -> None:
    """Two monitors see different things: each rule wants the same instance, and the environment where there is one."""
    for rule in rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["inhibit_rules"]:
        assert "instance" in rule["equal"]
        assert "environment" in rule["equal"] or rule["source_matchers"] == ['alertname="TigrEveryEnvironmentFailing"']


def test_every_alert_that_is_named_exists() -> None:
    """A rule for an alert that was renamed silences nothing."""
    text = (rulefiles.FOLDER / "alertmanager.yml").read_text(encoding="utf-8")
    named = [name for group in re.findall(r'alertname=~?"([^"]+)"', text) for name in group.split("|")]
    for name in named:
        assert any(re.fullmatch(name, alert) for alert in rulefiles.alerts()), name
