"""One environment: its logins, its pings and the check of its token host, with settings that a reload replaces.

The scheduler runs three jobs of an environment, each in its own thread. A run sends the requests that are due through
the `ProbeClient` and passes every `Result` to the sink. This module does no I/O and does not sleep.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.model import Endpoint, Reason, Result, Role, Token, internal_fault
from monitor.monitoring.generation import belong_together
from monitor.monitoring.host_check import HostCheckSink, HostConnector, TokenHostCheck
from monitor.monitoring.login import Logins, ResultSink
from monitor.monitoring.login_run import LoginSender
from monitor.monitoring.ping import Pings, PingSender

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State

EXPIRY_FETCH_INTERVAL = 3600.0  # seconds between two connections that fetch a certificate that failed verification


class ProbeClient(LoginSender, PingSender, HostConnector, Protocol):
    """Sends the requests of an environment."""

    def certificate_expiry(self, endpoint: Endpoint) -> float | None: ...


class EnvironmentSink(ResultSink, HostCheckSink, Protocol):
    """Receives the Results, host checks and certificates of an environment."""

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None: ...


class MonitoredEnvironment:
    """Runs the logins, pings and host checks of one environment. Thread-safe."""

    def __init__(
        self,
        settings: EnvironmentSettings,
        client: ProbeClient,
        sink: EnvironmentSink,
        state: State,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._client = client
        self._sink = sink
        self._clock = clock
        self._unverified: set[Endpoint] = set()  # whose certificate failed verification in the current run
        self._expiry_fetched: dict[Endpoint, float] = {}
        self.logins = Logins(settings, client, self, state, clock)
        self.generations = self.logins.generations
        self._pings = Pings(settings, client, self, self.logins, clock)
        self._host_check = TokenHostCheck(settings, client, sink, self.logins, clock)

    # State that the supervisor, the metrics and the status line read.

    @property
    def attempted(self) -> bool:
        """Whether a login was attempted, or logins have been suppressed since before this process started."""
        return self.logins.attempted

    @property
    def credentials_rejected(self) -> bool:
        """Whether the authorization server has rejected these credentials."""
        return self.logins.credentials_rejected

    @property
    def attempts_left(self) -> int:
        """Number of further requests that may contain these credentials without an operator's request."""
        return self.logins.attempts_left

    @property
    def token(self) -> Token | None:
        """The current token, which may have expired."""
        return self.logins.token

    def headroom(self) -> float | None:
        """Return the seconds until the current token expires, negative after expiry; None before the first token."""
        token = self.logins.token
        return None if token is None else token.expires - self._clock.now()

    def backoff(self, endpoint: Endpoint) -> float:
        """Return the seconds until the next attempt is allowed; infinity while logins are stopped."""
        return self.logins.remaining() if endpoint is Endpoint.TOKEN else self._pings.remaining()

    def next_login(self) -> float | None:
        """Return the time of the next login on the monotonic clock; None before the first scheduled run."""
        return self.logins.next_run()

    def next_ping(self) -> float | None:
        """Return the time of an additional, unscheduled ping on the monotonic clock; None if there is none."""
        return self._pings.next_run()

    # Runs of the three jobs.

    def run_login(self) -> None:
        """Log in if a login is due. A run that decides to wait records nothing."""
        self._run(Endpoint.TOKEN, self.logins.run_if_due)

    def run_login_now(self) -> None:
        """Log in once, whatever the schedule says, unless logins are suppressed or delayed."""
        self._run(Endpoint.TOKEN, self.logins.run_now)

    def run_ping(self) -> None:
        """Ping with the current token. If the API rejects it, the run includes a login and a second ping."""
        self._run(Endpoint.PING, self._pings.run)

    def run_login_for_check(self) -> None:
        """Log in for an operator's check, unless there is a hindrance."""
        self._run(Endpoint.TOKEN, self.logins.run_for_check)

    def run_ping_only(self) -> None:
        """Ping with the current token, and never log in."""
        self._run(Endpoint.PING, functools.partial(self._pings.run, may_log_in=False))

    def run_host_check(self) -> None:
        """Connect to the token host without a request. The check produces a `HostCheck` and no Result."""
        self._host_check.run()

    def login_not_started(self, error: Exception) -> None:
        """Record a login that was due and whose thread could not start."""
        moment = self.next_login()
        if moment is None or moment <= self._clock.now():
            self._not_started(Endpoint.TOKEN, error)

    def ping_not_started(self, error: Exception) -> None:
        """Record a ping that was due and whose thread could not start."""
        self._not_started(Endpoint.PING, error)

    def _not_started(self, endpoint: Endpoint, error: Exception) -> None:
        if self.backoff(endpoint) <= 0:
            self._sink.record(internal_fault(self.name, endpoint, self._clock.wall(), 0.0, error))

    # Changes of settings, and Results.

    def use(self, settings: EnvironmentSettings, client: ProbeClient, *, new_trust: bool = False) -> None:
        """Apply new settings of the same environment. Exchanges in progress are not waited for.

        `new_trust`: the client trusts other certificates than before.
        """
        with self.generations.lock:
            if new_trust or not belong_together(self._settings, settings):
                self.generations.begin_next()
                self._expiry_fetched.clear()
            self._settings, self._client = settings, client
            self.logins.use(settings, client)
            self._pings.use(settings, client)
            self._host_check.use(settings, client)

    def end(self) -> None:
        """Drop the Results of exchanges in progress, and begin no login: the environment was removed."""
        self.generations.end()

    def record(self, result: Result) -> None:
        """Pass a Result that decides to the sink. The caller holds the lock of the generations."""
        self._sink.record(result)
        if result.verdict.reason is Reason.CERTIFICATE and result.run.role is not Role.RETRIED:
            self._unverified.add(result.endpoint)

    def _fetch_expiries(self) -> None:
        """Fetch the expiry of certificates that failed verification; the failed handshake does not expose it."""
        while self._unverified:
            endpoint = self._unverified.pop()
            with self.generations.lock:
                client, generation, now = self._client, self.generations.current, self._clock.now()
                if now - self._expiry_fetched.get(endpoint, -EXPIRY_FETCH_INTERVAL) < EXPIRY_FETCH_INTERVAL:
                    continue
                self._expiry_fetched[endpoint] = now
            expiry = client.certificate_expiry(endpoint)
            with self.generations.verdict(generation) as decides:
                if decides and expiry is not None:
                    self._sink.certificate_seen(self.name, endpoint, expiry)

    def _run(self, endpoint: Endpoint, run: Callable[[], None]) -> None:
        """Run a job. An internal error becomes a Result, so that it is reported and the next run still happens."""
        started_at, started = self._clock.wall(), self._clock.now()
        generation = self.generations.current
        try:
            run()
            self._fetch_expiries()
        except Exception as error:  # noqa: BLE001
            with self.generations.verdict(generation) as decides:
                if decides:
                    duration = self._clock.now() - started
                    self._sink.record(internal_fault(self.name, endpoint, started_at, duration, error))
