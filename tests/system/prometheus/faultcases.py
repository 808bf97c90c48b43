"""Faults of simulated environments, and the alerts that each must send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.simulator import SimulatedEnvironment
from monitor.simulator.faults import Certificate, Hang, HostFault, Refuse, Status

PAGER, CHAT = "pager", "chat"
Alerts = frozenset[tuple[str, str]]  # receiver and name
Begin = Callable[[SimulatedEnvironment], None]


@dataclass(frozen=True, slots=True)
class FaultCase:
    """The fault of one environment, the expected alerts, and a part of their summaries."""

    begin: Begin
    alerts: Alerts
    summary_part: str


def on_api(fault: HostFault) -> Begin:
    """Return a function that sets a fault of the Client API."""
    return lambda environment: environment.api_faults.set(fault)


def on_login(fault: HostFault) -> Begin:
    """Return a function that sets a fault of the authorization server."""
    return lambda environment: environment.token_faults.set(fault)


def pages(*names: str) -> Alerts:
    """Return alerts that go to the pager."""
    return frozenset((PAGER, name) for name in names)


def tickets(*names: str) -> Alerts:
    """Return alerts that go to the chat."""
    return frozenset((CHAT, name) for name in names)


# The shortened test ends ping_429 early, and its tokens of login_refused expire.
FAULTS: Mapping[str, FaultCase] = {
    "wrong_password": FaultCase(
        on_login(Status(401)),
        pages("TigrCredentialsRejected"),
        "); next attempt at",
    ),
    "ping_500": FaultCase(on_api(Status(500)), pages("TigrPingFailing"), "reason: server_error"),
    "ping_hangs": FaultCase(on_api(Hang()), pages("TigrPingFailing"), "reason: timeout"),
    "ping_403": FaultCase(on_api(Status(403)), pages("TigrForbidden"), "is on the IP allowlist of TIGR"),
    "ping_429": FaultCase(
        on_api(Status(429, headers={"Retry-After": "20"})), tickets("TigrRateLimited"), "429, too many requests"
    ),
    "api_refused": FaultCase(on_api(Refuse()), pages("TigrPingFailing"), "reason: connect"),
    "login_refused": FaultCase(
        on_login(Refuse()), pages("TigrLoginFailing", "TigrTokenHeadroomLow"), "reason: connect"
    ),
    "certificate": FaultCase(on_api(Certificate()), pages("TigrCertificateFailing"), "(ping) failed verification"),
    "uat": FaultCase(on_api(Status(500)), tickets("TigrPingFailing"), "reason: server_error"),
    "restarted": FaultCase(on_api(Status(500)), pages("TigrPingFailing"), "reason: server_error"),
}
