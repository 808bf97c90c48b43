"""One environment: its logins, its pings and the check of its token host, with settings that a reload replaces.

Three jobs run here, each in a thread of its own. A run sends what is due through the `ProbeClient` and hands every
`Result` to the sink. Nothing here does I/O of its own or waits for time to pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.model import Endpoint, Reason, Result, Token, internal_fault
from monitor.monitoring.host_check import HostCheckSink, HostConnector, TokenHostCheck
from monitor.monitoring.login import Logins, LoginSender, ResultSink
from monitor.monitoring.ping import Pings, PingSender

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.monitoring.state import State

EXPIRY_FETCH_INTERVAL = 3600.0  # seconds between two connections that read a certificate that did not verify


class ProbeClient(LoginSender, PingSender, HostConnector, Protocol):
    """Sends the requests of an environment."""

    def certificate_expiry(self, endpoint: Endpoint) -> float | None: ...


class EnvironmentSink(ResultSink, HostCheckSink, Protocol):
    """Takes what an environment finds."""

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None: ...


class MonitoredEnvironment:
    """One environment. Safe to use from many threads at once."""

    def __init__(
        self,
        settings: EnvironmentSettings,
        client: ProbeClient,
        sink: EnvironmentSink,
        state: State,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = settings.name
        self._client = client
        self._sink = sink
        self._clock = clock
        self._expiry_fetched: dict[Endpoint, float] = {}
        self.logins = Logins(settings, client, self, state, clock)
        self._pings = Pings(settings, client, self, self.logins, clock)
        self._host_check = TokenHostCheck(settings, client, sink, self.logins, clock)

    # Read by the daemon, the metrics and the status line.

    @property
    def attempted(self) -> bool:
        """Whether a login has been attempted, or is suppressed since before this process began."""
        return self.logins.attempted

    @property
    def credentials_rejected(self) -> bool:
        """Whether the authorization server has rejected these credentials."""
        return self.logins.credentials_rejected

    @property
    def token(self) -> Token | None:
        """The current token, expired or not."""
        return self.logins.token

    def headroom(self) -> float | None:
        """Return the seconds until the current token expires, negative after expiry; None before the first token."""
        token = self.logins.token
        return None if token is None else token.expires - self._clock.now()

    def backoff(self, endpoint: Endpoint) -> float:
        """Return the seconds until the next attempt is allowed; infinity while logins are stopped."""
        return self.logins.remaining() if endpoint is Endpoint.TOKEN else self._pings.remaining()

    def next_login(self) -> float | None:
        """Return when a login is due, on the monotonic clock; None before the first scheduled run."""
        return self.logins.next_run()

    def next_ping(self) -> float | None:
        """Return when a ping is due in addition to the scheduled ones, on the monotonic clock; None: at no time."""
        return self._pings.next_run()

    # Runs of the three jobs.

    def run_login(self) -> None:
        """Log in if a login is due. A run that decides to wait records nothing."""
        self._run(Endpoint.TOKEN, self.logins.run_if_due)

    def run_login_now(self) -> None:
        """Log in once, whatever the schedule says, unless logins are suppressed or delayed."""
        self._run(Endpoint.TOKEN, self.logins.run_now)

    def run_ping(self) -> None:
        """Ping with the current token; the login that a rejected token causes belongs to the same run."""
        self._run(Endpoint.PING, self._pings.run)

    def run_host_check(self) -> None:
        """Connect to the token host without a request. It is no attempt, so it leaves no Result."""
        self._host_check.run()

    # Everything else.

    def use(self, settings: EnvironmentSettings, client: ProbeClient) -> None:
        """Take over new settings of the same environment, after a login that is in progress."""
        with self.logins.running:
            self._client = client
            self.logins.use(settings, client)
            self._pings.use(settings, client)
            self._host_check.use(settings, client)

    def record(self, result: Result) -> None:
        """Hand a Result on; after a certificate that did not verify, fetch its expiry."""
        self._sink.record(result)
        if result.reason is Reason.CERTIFICATE and not result.retried:
            self._fetch_expiry(result.endpoint)

    def _fetch_expiry(self, endpoint: Endpoint) -> None:
        """Fetch the expiry of a certificate that failed verification; the failed handshake does not expose it."""
        now = self._clock.now()
        if now - self._expiry_fetched.get(endpoint, -EXPIRY_FETCH_INTERVAL) < EXPIRY_FETCH_INTERVAL:
            return
        self._expiry_fetched[endpoint] = now
        expiry = self._client.certificate_expiry(endpoint)
        if expiry is not None:
            self._sink.certificate_seen(self.name, endpoint, expiry)

    def _run(self, endpoint: Endpoint, run: Callable[[], None]) -> None:
        """Run a job; an internal fault is a Result like any other, so that it is seen and the next run comes."""
        started_at, started = self._clock.wall(), self._clock.now()
        try:
            run()
        except Exception as error:  # noqa: BLE001
            self._sink.record(internal_fault(self.name, endpoint, started_at, self._clock.now() - started, error))
