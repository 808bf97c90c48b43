"""Faults for a measurement at full speed: their steps in time, the alerts that they must send, and the maximum time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from monitor.simulator import SimulatedEnvironment, Simulator
from monitor.simulator.faults import Body, Certificate, Hang, NotTls, Refuse, Status
from tests.support.process import Monitor
from tests.system.prometheus.faultcases import Alerts, Begin, on_api, on_login, pages, tickets


@dataclass(frozen=True, slots=True)
class Running:
    """The simulated TIGR and the monitors by instance."""

    simulator: Simulator
    monitors: Mapping[str, Monitor]


class Wait(Enum):
    """A part of the time from a fault to its message."""

    PING = "ping"  # the next ping
    CONFIRM = "confirm"  # the two confirming pings
    TIMEOUT = "timeout"  # of one probe
    LOGIN = "login"  # the next scheduled login
    TOKEN_HOST = "token host"  # two checks of the token host
    RETRY = "retry"  # the second login
    DOWN = "down"  # `for` of TigrMonitorDown
    SCRAPE_TIMEOUT = "scrape timeout"
    GROUP = "group"  # `group_interval` of the pager: another alert without an environment was sent before
    PAGE = "page"  # scrape, evaluation, and `group_wait` of the pager
    TICKET = "ticket"  # scrape, evaluation, and `group_wait` of the chat


CONFIRMED_PING = (Wait.PING, Wait.CONFIRM, Wait.PAGE)
Step = Callable[[Running], object]


@dataclass(frozen=True, slots=True)
class TimedFault:
    """One fault of an environment or of a monitor."""

    description: str
    steps: Sequence[tuple[float, Step]]  # seconds after the beginning
    expected: Mapping[str, Alerts]  # by subject, an environment or an instance; the row is about the first one
    waits: Sequence[Wait] = ()  # add up to the maximum time; none: it is not bounded
    watched: float = 600.0  # seconds for which every message is recorded
    counted_from: float = 0.0  # seconds after the beginning
    alone: Sequence[str] = ()  # environments of a monitor of its own, whose instance is `of_` and the first of them


def _environment(name: str, begin: Begin) -> Step:
    return lambda running: begin(running.simulator.environment(name))


def _cleared(environment: SimulatedEnvironment) -> None:
    environment.api_faults.clear()
    environment.token_faults.clear()


def _signal(instance: str, number: signal.Signals) -> Step:
    return lambda running: running.monitors[instance].process.send_signal(number)


def _restart(instance: str) -> Step:
    def restart(running: Running) -> None:
        running.monitors[instance].stop()
        running.monitors[instance].start()

    return restart


def _permanent(description: str, name: str, begin: Begin, alerts: Alerts, *waits: Wait) -> TimedFault:
    """Return a fault that one environment has until the end."""
    return TimedFault(description, [(0, _environment(name, begin))], {name: alerts}, waits)


def _outages(description: str, name: str, *begins: float) -> TimedFault:
    """Return outages of the API of 60 s each."""
    steps = [(begin, _environment(name, on_api(Status(503)))) for begin in begins]
    steps += [(begin + 60, _environment(name, _cleared)) for begin in begins]
    return TimedFault(description, steps, {name: pages("TigrPingFailing")}, CONFIRMED_PING, watched=begins[-1] + 400)


def _flapping(environment: SimulatedEnvironment) -> None:
    """Let two of three pings fail, so that three in a row never do."""
    environment.api_faults.queue(*[Status(500), Status(500), None] * 200)


def _revoke(name: str) -> Step:
    return lambda running: running.simulator.environment(name).revoke_tokens()


_HTML = Body(b"<html><body>We are back soon.</body></html>", content_type="text/html")
_REDIRECT = Status(302, headers={"Location": "https://localhost/maintenance"})

FAULTS: Sequence[TimedFault] = (
    _permanent(
        "login: wrong password", "wrong_password", on_login(Status(401)), pages("TigrCredentialsRejected"),
        Wait.LOGIN, Wait.PAGE,
    ),
    _permanent("login: status 403", "login_403", on_login(Status(403)), pages("TigrForbidden"), Wait.LOGIN, Wait.PAGE),
    _permanent(
        "login: status 429", "login_429", on_login(Status(429)), tickets("TigrRateLimited") | pages("TigrLoginFailing"),
        Wait.LOGIN, Wait.TICKET,
    ),
    _permanent(
        "login: connection refused", "login_refused", on_login(Refuse()), pages("TigrLoginFailing"),
        Wait.TOKEN_HOST, Wait.RETRY, Wait.PAGE,
    ),
    _permanent("ping: status 500", "ping_500", on_api(Status(500)), pages("TigrPingFailing"), *CONFIRMED_PING),
    _permanent(
        "ping: no response", "ping_hangs", on_api(Hang()), pages("TigrPingFailing"),
        *CONFIRMED_PING, Wait.TIMEOUT, Wait.TIMEOUT, Wait.TIMEOUT,
    ),
    _permanent(
        "ping: connection refused", "api_refused", on_api(Refuse()), pages("TigrPingFailing"), *CONFIRMED_PING
    ),
    _permanent(
        "ping: a web page with status 200", "html_200", on_api(_HTML), pages("TigrPingFailing"), *CONFIRMED_PING
    ),
    _permanent("ping: redirect", "redirect", on_api(_REDIRECT), pages("TigrPingFailing"), *CONFIRMED_PING),
    _permanent("ping: no TLS", "not_tls", on_api(NotTls()), pages("TigrPingFailing"), *CONFIRMED_PING),
    _permanent(
        "ping: expired certificate", "certificate", on_api(Certificate()), pages("TigrCertificateFailing"),
        Wait.PING, Wait.PAGE,
    ),
    _permanent("ping: status 403", "ping_403", on_api(Status(403)), pages("TigrForbidden"), Wait.PING, Wait.PAGE),
    _permanent(
        "ping: status 429", "ping_429", on_api(Status(429)), tickets("TigrRateLimited") | pages("TigrPingFailing"),
        Wait.PING, Wait.TICKET,
    ),
    _permanent(
        "ping: status 500, severity warning", "uat", on_api(Status(500)), tickets("TigrPingFailing"),
        Wait.PING, Wait.CONFIRM, Wait.TICKET,
    ),
    _outages("API: an outage of 60 s", "brief", 0),
    _outages("API: an outage of 60 s in every 300 s", "repeated", 0, 300, 600),
    TimedFault(
        "API: two of three pings fail", [(0, _environment("flapping", _flapping))],
        {"flapping": pages("TigrErrorBudgetBurnFast")}, watched=1000,
    ),
    TimedFault(
        "tokens revoked again after 400 s", [(0, _revoke("revoked")), (400, _revoke("revoked"))],
        {"revoked": tickets("TigrTokenRejected")}, counted_from=400,
    ),
    TimedFault(
        "both hosts of both environments refuse",
        [
            (0, _environment(name, begin))
            for name in ("gone", "gone_too") for begin in (on_api(Refuse()), on_login(Refuse()))
        ],
        {"gone": pages("TigrPingFailing", "TigrLoginFailing"), "of_gone": tickets("TigrEveryEnvironmentFailing")},
        CONFIRMED_PING, alone=("gone", "gone_too"),
    ),
    TimedFault(
        "ping: status 500, and a restart of the monitor after 120 s",
        [(0, _environment("restarted", on_api(Status(500)))), (120, _restart("of_restarted"))],
        {"restarted": pages("TigrPingFailing")}, CONFIRMED_PING, alone=("restarted",),
    ),
    TimedFault(
        "monitor killed", [(0, _signal("of_killed", signal.SIGKILL))], {"of_killed": pages("TigrMonitorDown")},
        (Wait.DOWN, Wait.PAGE), alone=("killed",),
    ),
    TimedFault(
        "monitor stopped for 240 s (SIGSTOP) while another is down",
        [(0, _signal("of_frozen", signal.SIGSTOP)), (240, _signal("of_frozen", signal.SIGCONT))],
        {"of_frozen": pages("TigrMonitorDown"), "frozen": tickets("TigrRunsMissed")},
        (Wait.DOWN, Wait.SCRAPE_TIMEOUT, Wait.GROUP, Wait.PAGE), alone=("frozen",),
    ),
)  # fmt: skip
