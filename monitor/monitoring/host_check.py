"""Check of the token host between logins: a connection without a request, which detects a dead host early.

Logins are minutes apart. The check detects a host name that does not resolve, a refused or hanging connection, and an
invalid certificate. It cannot detect a dead backend behind a load balancer, an HTTP error, or a client certificate that
TLS 1.3 requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from monitor.clock import Clock
from monitor.model import HostCheck, Reason
from monitor.monitoring.login import Logins
from monitor.monitoring.negotiation import NEVER

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

FAILURES_TO_LOG_IN = 2  # failed checks in a row that bring the next login forward


class HostConnector(Protocol):
    """Connects to the token host."""

    def check_token_host(self) -> HostCheck: ...


class HostCheckSink(Protocol):
    """Receives the outcome of a check."""

    def token_host_checked(self, check: HostCheck) -> None: ...


class TokenHostCheck:
    """Checks the token host of one environment. Only one run may be in progress."""

    def __init__(
        self, settings: EnvironmentSettings, connector: HostConnector, sink: HostCheckSink, logins: Logins, clock: Clock
    ) -> None:
        self._settings = settings
        self._connector = connector
        self._sink = sink
        self._logins = logins
        self._clock = clock
        self._failures = 0
        self._requested_at = NEVER  # last time at which a login was brought forward

    def run(self) -> None:
        """Check the host once. After two failures in a row, request a login, at most once per `auth_interval`."""
        with self._logins.generations.lock:
            connector, generation = self._connector, self._logins.generations.current
        check = connector.check_token_host()
        with self._logins.generations.verdict(generation) as decides:
            if decides:
                self._apply(check)

    def _apply(self, check: HostCheck) -> None:
        self._sink.token_host_checked(check)
        if check.reason is Reason.INTERNAL:  # the state of the host is unknown
            return
        self._failures = 0 if check.reachable else self._failures + 1
        now = self._clock.now()
        if self._failures >= FAILURES_TO_LOG_IN and now - self._requested_at >= self._settings.auth_interval:
            self._requested_at = now
            self._logins.request_scheduled()

    def use(self, settings: EnvironmentSettings, connector: HostConnector) -> None:
        """Apply new settings. If the token URL changed, reset the count of failures."""
        if settings.token_url != self._settings.token_url:
            self._failures, self._requested_at = 0, NEVER
        self._settings, self._connector = settings, connector
