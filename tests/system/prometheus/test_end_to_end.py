"""From a fault to a message, with the real monitor, Prometheus and Alertmanager: every message and its end.

All faults begin at the same time, each in a separate environment or monitor. The shipped rules and routes run at a
twentieth of their durations. The outage lasts until the error budget burns too; the cause must inhibit that alert.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from monitor.model import Endpoint
from monitor.simulator import Simulator
from monitor.simulator.faults import Refuse
from tests.support.process import Monitor, wait_for
from tests.system.prometheus.faultcases import FAULTS, PAGER, Alerts, pages, tickets
from tests.system.prometheus.server import PrometheusServer
from tests.system.prometheus.stack import Receivers, faster_routes, faster_rules, stack

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("prometheus", "prometheus-alertmanager"),
    pytest.mark.timeout(420),
]

FACTOR = 20.0
SCRAPE = 1.0  # seconds
PATIENCE = 120.0  # seconds: enough for a slow machine
SETTINGS = {
    "TIGR_PING_INTERVAL": "2s",
    "TIGR_AUTH_INTERVAL": "6s",
    "TIGR_CONFIRM_INTERVAL": "1s",
    "TIGR_TIMEOUT": "1s",
    "TIGR_RENEW_MARGIN": "1s",
}
REVOKED = "revoked"
GONE = ("gone", "gone_too")  # both environments of a monitor; only the first pages
TICKETS = ("uat", GONE[1])  # the environments that do not page
WELL = "well"
BRIEF = "ping_429"  # ends before three failures in a row, which would be TigrPingFailing
SUPPRESSED = "wrong_password"  # its token stays valid, and suppressed logins are not observed time
# Alerts that a fault can cause as well at the speed of this test.
POSSIBLE: Mapping[str, Alerts] = {
    # A ping that hangs ends later than half an interval after the next scheduled run.
    "ping_hangs": tickets("TigrRunsMissed"),
    # A restart takes more than three seconds on a slow machine, which are a minute at the speed of this test.
    "of_restarted": pages("TigrMonitorDown"),
}
# Outages that burn the budget; the alerts about their causes inhibit the burn.
BURNING = FAULTS.keys() - {BRIEF, SUPPRESSED} | set(GONE)
INSTANCES = {
    "most": [name for name in FAULTS if name != "restarted"] + [REVOKED, WELL],
    "of_restarted": ["restarted", "well_too"],
    "of_gone": list(GONE),
    "killed": ["bystander"],
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """All running components."""

    simulator: Simulator
    monitors: Mapping[str, Monitor]
    receivers: Receivers
    prometheus: PrometheusServer


def _settings(simulator: Simulator, names: list[str]) -> dict[str, str]:
    settings = {key: value for name in names for key, value in simulator.environment(name).settings().items()}
    off = {f"TIGR_ENVIRONMENTS__{name.upper()}__ENABLED": "false" for name in ("prod", "uat") if name not in names}
    # A token that is younger than ten seconds is not rejected by one 401.
    old_enough = {f"TIGR_ENVIRONMENTS__{REVOKED.upper()}__AUTH_INTERVAL": "12s"} if REVOKED in names else {}
    severities = {
        f"TIGR_ENVIRONMENTS__{name.upper()}__SEVERITY": "warning" if name in TICKETS else "critical" for name in names
    }
    network = {"TIGR_CA_FILE": str(simulator.ca_file), "TIGR_PROXY": "none"}
    return settings | off | severities | SETTINGS | old_enough | network


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield all components, healthy and scraped."""
    directory = tmp_path_factory.mktemp("stack")
    with ExitStack() as running:
        simulator = running.enter_context(Simulator([name for names in INSTANCES.values() for name in names]))
        simulator.environment("login_refused").lifetime = 30
        monitors = {
            instance: running.enter_context(Monitor(_settings(simulator, names), directory))
            for instance, names in INSTANCES.items()
        }
        for instance, names in INSTANCES.items():
            for name in names:
                monitors[instance].wait_for(1, "tigr_up", environment=name, endpoint="ping")
        receivers = running.enter_context(Receivers())
        ports = {instance: monitor.port for instance, monitor in monitors.items()}
        rules, routes = faster_rules(FACTOR), faster_routes(receivers.url, FACTOR)
        prometheus = running.enter_context(stack(directory, ports, rules, routes, SCRAPE))
        yield Deployment(simulator, monitors, receivers, prometheus)


def _revoke_twice(deployment: Deployment) -> None:
    """Revoke two tokens before their expiry, and wait for a scheduled login after each."""
    monitor, environment = deployment.monitors["most"], deployment.simulator.environment(REVOKED)
    for _ in range(2):
        rejected = _rejected(monitor)
        environment.revoke_tokens()
        _await(functools.partial(_rejected_since, monitor, rejected), "the rejection of a token")
        _await(functools.partial(_logged_in_since, monitor, _scheduled(monitor)), "the next scheduled login")


def _rejected(monitor: Monitor) -> float:
    return monitor.value("tigr_token_rejected_total", environment=REVOKED) or 0


def _rejected_since(monitor: Monitor, before: float) -> bool:
    return _rejected(monitor) > before


def _scheduled(monitor: Monitor) -> float:
    return monitor.value("tigr_token_renewals_total", environment=REVOKED, cause="scheduled") or 0


def _logged_in_since(monitor: Monitor, before: float) -> bool:
    return _scheduled(monitor) > before


def _burning(prometheus: PrometheusServer) -> set[str]:
    """Return the environments whose error budget burns fast, including those with inhibited alerts."""
    firing = prometheus.now('ALERTS{alertname="TigrErrorBudgetBurnFast", alertstate="firing"}')
    return {sample.labels["environment"] for sample in firing}


def _of_the_machine(monitors: Mapping[str, Monitor]) -> Alerts:
    """Return the alerts that a busy machine causes: none, unless an environment without a fault missed runs too."""
    name, most = "tigr_schedule_missed_total", monitors["most"]
    missed = any(most.value(name, environment=WELL, endpoint=endpoint) for endpoint in Endpoint)
    return tickets("TigrRunsMissed", "TigrRunsLate") if missed else frozenset()


def _await(condition: Callable[[], object], description: str) -> None:
    wait_for(condition, description, PATIENCE)


def _await_all(receivers: Receivers, expected: Mapping[str, Alerts], status: str) -> None:
    """Wait until every expected alert has been sent."""
    try:
        _await(
            lambda: all(alerts <= receivers.about(name, status) for name, alerts in expected.items()), "every message"
        )
    except AssertionError:
        missing = {name: alerts - receivers.about(name, status) for name, alerts in expected.items()}
        pytest.fail(f"{status}, not sent: { {name: alerts for name, alerts in missing.items() if alerts} }")


def test_each_fault_sends_its_own_message_and_its_end(deployment: Deployment) -> None:
    """Each fault sends one message with its cause to the right receiver, then its end, and nothing else."""
    simulator, receivers, monitors = deployment.simulator, deployment.receivers, deployment.monitors
    for name, fault in FAULTS.items():
        fault.begin(simulator.environment(name))
    for name in GONE:
        simulator.environment(name).token_faults.set(Refuse())
        simulator.environment(name).api_faults.set(Refuse())
    monitors["killed"].process.kill()
    monitors["killed"].process.wait()
    _revoke_twice(deployment)

    expected: dict[str, Alerts] = {name: fault.alerts for name, fault in FAULTS.items()}
    expected[REVOKED] = tickets("TigrTokenRejected")
    expected[GONE[0]] = pages("TigrPingFailing", "TigrLoginFailing")
    expected["of_gone"] = tickets("TigrEveryEnvironmentFailing")
    expected["killed"] = pages("TigrMonitorDown")

    # The brief fault ends early, so that it does not burn the budget when half an hour has been observed.
    _await(lambda: receivers.about(BRIEF), "the ticket about 429")
    simulator.environment(BRIEF).api_faults.clear()

    # The monitor restarts during the outage.
    _await(lambda: receivers.about("restarted"), "the page before the restart")
    assert monitors["of_restarted"].stop() == 0
    monitors["of_restarted"].start()
    _await_all(receivers, expected, "firing")
    monitors["of_restarted"].wait_for(
        1, "tigr_failure", environment="restarted", endpoint="ping", reason="server_error"
    )
    assert receivers.about("restarted", "resolved") == set()

    # Half an hour has been observed: from here on, the burn must be inhibited.
    _await(lambda: _burning(deployment.prometheus) >= BURNING, "every budget burns")

    # All faults end.
    for environment in simulator.environments.values():
        environment.token_faults.clear()
        environment.api_faults.clear()
    monitors["killed"].start()
    monitors["most"].process.send_signal(signal.SIGHUP)  # grants the rejected credentials one attempt
    _await_all(receivers, expected, "resolved")
    _await(lambda: not receivers.unresolved(), "every alert is resolved")

    subjects = {message.subject for message in receivers.messages}
    of_the_machine = _of_the_machine(monitors)
    unexpected = {
        subject: alerts
        for subject in subjects
        if (
            alerts := receivers.about(subject)
            - expected.get(subject, frozenset())
            - POSSIBLE.get(subject, frozenset())
            - of_the_machine
        )
    }
    assert unexpected == {}
    # Alertmanager sends the end of an alert that was inhibited if the cause has ended before the next message of the
    # group: for tickets, whose groups wait for five minutes, and on a busy machine, which evaluates rules late.
    if not of_the_machine:
        assert [each for each in receivers.resolved_only() if each[0] == PAGER] == []
    for name, fault in FAULTS.items():
        summaries = [m.summary for m in receivers.messages if m.subject == name and m.status == "firing"]
        assert any(fault.summary_part in summary for summary in summaries), summaries
        assert all(summary.startswith(f"{name}: ") for summary in summaries)


def test_messages_hold_no_secret(deployment: Deployment) -> None:
    """No label and no summary of a message contains a secret, because many people read a chat."""
    secrets = {
        value for environment in deployment.simulator.environments.values() for value in environment.secrets().values()
    }
    text = "".join(f"{message.summary} {dict(message.labels)}" for message in deployment.receivers.messages)
    assert text
    assert not [secret for secret in secrets if secret in text]
