"""From a fault to a message: the real monitor, Prometheus and Alertmanager, and exactly what arrives, and that it ends.

All faults happen at once, each to an environment or a monitor of its own, with the shipped rules and routes in a
twentieth of their time. The outage lasts until the error budget burns too, of which nobody may hear: it has its cause.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from monitor.simulator import Environment, Simulator
from monitor.simulator.faults import Certificate, Hang, Refuse, Status
from tests.support.process import Monitor, wait_for
from tests.system.prometheus.server import PrometheusServer
from tests.system.prometheus.stack import Receivers, faster_routes, faster_rules, stack

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("prometheus", "prometheus-alertmanager"),
    pytest.mark.timeout(420),
]

FACTOR = 20.0
SCRAPE = 1.0  # seconds
PATIENCE = 120.0  # seconds; what arrives late on a slow machine arrives
SETTINGS = {
    "TIGR_PING_INTERVAL": "2s",
    "TIGR_AUTH_INTERVAL": "6s",
    "TIGR_CONFIRM_INTERVAL": "1s",
    "TIGR_TIMEOUT": "1s",
    "TIGR_RENEW_MARGIN": "1s",
}
PAGER, CHAT = "pager", "chat"


@dataclass(frozen=True, slots=True)
class FaultCase:
    """What goes wrong with one environment, what has to be told of it, and in which words."""

    begin: Callable[[Environment], None]
    told: frozenset[tuple[str, str]]
    words: str


def _api(fault: object) -> Callable[[Environment], None]:
    return lambda environment: environment.api_faults.set(fault)  # type: ignore[arg-type]


def _login(fault: object) -> Callable[[Environment], None]:
    return lambda environment: environment.token_faults.set(fault)  # type: ignore[arg-type]


def _told(*alerts: tuple[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(alerts)


# The uat of this table is one that gets tickets.
FAULTS: Mapping[str, FaultCase] = {
    "wrong_password": FaultCase(
        _login(Status(401)), _told((PAGER, "TigrCredentialsRejected")), "TIGR rejected our credentials; next attempt at"
    ),
    "ping_500": FaultCase(_api(Status(500)), _told((PAGER, "TigrPingFailing")), "reason: server_error"),
    "ping_hangs": FaultCase(_api(Hang()), _told((PAGER, "TigrPingFailing")), "reason: timeout"),
    "ping_403": FaultCase(_api(Status(403)), _told((PAGER, "TigrForbidden")), "is on the IP allowlist of TIGR"),
    "ping_429": FaultCase(
        _api(Status(429, headers={"Retry-After": "20"})), _told((CHAT, "TigrRateLimited")), "429, too many requests"
    ),
    "api_refused": FaultCase(_api(Refuse()), _told((PAGER, "TigrPingFailing")), "reason: connect"),
    "login_refused": FaultCase(
        _login(Refuse()), _told((PAGER, "TigrLoginFailing"), (PAGER, "TigrTokenHeadroomLow")), "reason: connect"
    ),
    "certificate": FaultCase(
        _api(Certificate()), _told((PAGER, "TigrCertificateFailing")), "the certificate of the ping host"
    ),
    "uat": FaultCase(_api(Status(500)), _told((CHAT, "TigrPingFailing")), "reason: server_error"),
    "restarted": FaultCase(_api(Status(500)), _told((PAGER, "TigrPingFailing")), "reason: server_error"),
}
REVOKED = "revoked"
GONE = ("gone", "gone_too")  # both environments of a monitor, one of which pages
WELL = "well"
BRIEF = "ping_429"  # over before it is three failures in a row, and a failing ping
BURNING = FAULTS.keys() - {BRIEF} | set(GONE)  # out for so long that the budget burns, which their causes silence
INSTANCES = {
    "most": [name for name in FAULTS if name != "restarted"] + [REVOKED, WELL],
    "of_restarted": ["restarted", "well_too"],
    "of_gone": list(GONE),
    "killed": ["bystander"],
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that runs."""

    simulator: Simulator
    monitors: Mapping[str, Monitor]
    receivers: Receivers
    prometheus: PrometheusServer


def _settings(simulator: Simulator, names: list[str]) -> dict[str, str]:
    settings = {key: value for name in names for key, value in simulator.environment(name).settings().items()}
    off = {f"TIGR_ENVIRONMENTS__{name.upper()}__ENABLED": "false" for name in ("prod", "uat") if name not in names}
    return settings | off | SETTINGS | {"TIGR_CA_FILE": str(simulator.ca_file), "TIGR_PROXY": "none"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All of it, healthy and scraped."""
    directory = tmp_path_factory.mktemp("stack")
    paging = [name for names in INSTANCES.values() for name in names if name not in ("uat", GONE[1])]
    with ExitStack() as running:
        simulator = running.enter_context(Simulator([name for names in INSTANCES.values() for name in names]))
        simulator.environment("login_refused").lifetime = 15
        monitors = {
            instance: running.enter_context(Monitor(_settings(simulator, names), directory))
            for instance, names in INSTANCES.items()
        }
        for instance, names in INSTANCES.items():
            for name in names:
                monitors[instance].wait_for(1, "tigr_up", environment=name, endpoint="ping")
        receivers = running.enter_context(Receivers())
        ports = {instance: monitor.port for instance, monitor in monitors.items()}
        rules, routes = faster_rules(paging, FACTOR), faster_routes(receivers.url, FACTOR)
        prometheus = running.enter_context(stack(directory, ports, rules, routes, SCRAPE))
        yield Deployment(simulator, monitors, receivers, prometheus)


def _revoke_twice(scene: Deployment) -> None:
    """End two tokens before their time, each one after the login that the monitor has in between."""
    monitor, environment = scene.monitors["most"], scene.simulator.environment(REVOKED)
    for count in (1, 2):
        environment.revoke_tokens()
        monitor.wait_for(count, "tigr_token_rejected_total", environment=REVOKED)
        _await(functools.partial(_logged_in_since, monitor, _scheduled(monitor)), "the next scheduled login")


def _scheduled(monitor: Monitor) -> float:
    return monitor.value("tigr_token_renewals_total", environment=REVOKED, cause="scheduled") or 0


def _logged_in_since(monitor: Monitor, before: float) -> bool:
    return _scheduled(monitor) > before


def _burning(prometheus: PrometheusServer) -> set[str]:
    """The environments whose budget burns fast, whoever is told of it."""
    firing = prometheus.now('ALERTS{alertname="TigrErrorBudgetBurnFast", alertstate="firing"}')
    return {sample.labels["environment"] for sample in firing}


def _await(what: Callable[[], object], why: str) -> None:
    wait_for(what, why, PATIENCE)


def _await_all(receivers: Receivers, expected: Mapping[str, frozenset[tuple[str, str]]], status: str) -> None:
    """Wait until everything expected has been told."""
    try:
        _await(lambda: all(told <= receivers.about(name, status) for name, told in expected.items()), "every message")
    except AssertionError:
        missing = {name: told - receivers.about(name, status) for name, told in expected.items()}
        pytest.fail(f"{status}, not told: { {name: told for name, told in missing.items() if told} }")


def test_each_fault_sends_its_own_message_and_its_end(scene: Deployment) -> None:
    """One cause, one message, to the right receiver, in words that name it; and nothing else, from first to last."""
    simulator, receivers, monitors = scene.simulator, scene.receivers, scene.monitors
    for name, fault in FAULTS.items():
        fault.begin(simulator.environment(name))
    for name in GONE:
        simulator.environment(name).token_faults.set(Refuse())
        simulator.environment(name).api_faults.set(Refuse())
    monitors["killed"].process.kill()
    monitors["killed"].process.wait()
    _revoke_twice(scene)

    expected: dict[str, frozenset[tuple[str, str]]] = {name: fault.told for name, fault in FAULTS.items()}
    expected[REVOKED] = _told((CHAT, "TigrTokenRejected"))
    expected[GONE[0]] = _told((PAGER, "TigrPingFailing"), (PAGER, "TigrLoginFailing"))
    expected["of_gone"] = _told((CHAT, "TigrEveryEnvironmentFailing"))
    expected["killed"] = _told((PAGER, "TigrMonitorDown"))

    # Long before the others: nothing that burns a budget may be left of it when half an hour has been observed.
    _await(lambda: receivers.about(BRIEF), "the ticket about 429")
    simulator.environment(BRIEF).api_faults.clear()

    # A restart in the middle of the outage.
    _await(lambda: receivers.about("restarted"), "the page before the restart")
    assert monitors["of_restarted"].stop() == 0
    monitors["of_restarted"].start()
    _await_all(receivers, expected, "firing")
    monitors["of_restarted"].wait_for(
        1, "tigr_failure", environment="restarted", endpoint="ping", reason="server_error"
    )
    assert receivers.about("restarted", "resolved") == set()

    # Half an hour has been observed: from here until long after the end the burn has to be silenced.
    _await(lambda: _burning(scene.prometheus) >= BURNING, "every budget burns")

    # The end of it all.
    for environment in simulator.environments.values():
        environment.token_faults.clear()
        environment.api_faults.clear()
    monitors["killed"].start()
    monitors["most"].process.send_signal(signal.SIGHUP)  # grants the rejected credentials one attempt
    _await_all(receivers, expected, "resolved")
    _await(lambda: not receivers.unresolved(), "everything is over")

    subjects = {message.subject for message in receivers.messages}
    assert {subject: receivers.about(subject) for subject in subjects} == expected
    for name, fault in FAULTS.items():
        summaries = [m.summary for m in receivers.messages if m.subject == name and m.status == "firing"]
        assert any(fault.words in summary for summary in summaries), summaries
        assert all(summary.startswith(f"{name}: ") for summary in summaries)


def test_messages_hold_no_secret(scene: Deployment) -> None:
    """What goes to a chat is read by many."""
    secrets = {
        value for environment in scene.simulator.environments.values() for value in environment.secrets().values()
    }
    told = "".join(f"{message.summary} {dict(message.labels)}" for message in scene.receivers.messages)
    assert told
    assert not [secret for secret in secrets if secret in told]
