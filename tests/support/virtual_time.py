"""Harness of one environment on virtual time: a clock that jumps from one run to the next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.clock import Clock
from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.model import Endpoint, FieldNames, HostCheck, Phase, Reason, Result, Token
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.state import State
from tests.reporting.test_metrics import SETTINGS
from tests.support.results import make_result, vary

HOUR, DAY = 3600.0, 86400.0
CREDENTIALS = EnvironmentCredentials("id", "secret", "user", "password")
WELL = make_result(Endpoint.TOKEN, started_at=0.0, duration=0.01, status=200)
PONG = replace(WELL, endpoint=Endpoint.PING)
REJECTED = vary(WELL, reason=Reason.UNAUTHORIZED, status=401, refused=True)
UNAUTHORIZED = vary(PONG, reason=Reason.UNAUTHORIZED, status=401, rejects_token=True)
DOWN = vary(WELL, reason=Reason.CONNECT, status=None)
NO_RESPONSE = vary(WELL, reason=Reason.TIMEOUT, status=None, phases={Phase.PROCESSING: 10.0})
Login = Callable[["VirtualTimeHarness", FieldNames], Result]
Ping = Callable[["VirtualTimeHarness", Token | None], Result]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request that the environment sent."""

    when: float  # seconds since the start of the harness
    endpoint: Endpoint
    field_names: FieldNames | None = None
    token: Token | None = None


class ProcessKilledError(BaseException):
    """Ends the monitor's process while a request is in flight; a handler of `Exception` does not catch it."""


@dataclass
class VirtualTimeHarness:
    """An environment, the responses to its requests, and the requests that it has sent."""

    login: Login
    ping_response: Ping = lambda _harness, token: PONG if token else UNAUTHORIZED
    settings: EnvironmentSettings = field(default_factory=lambda: replace(SETTINGS, credentials=CREDENTIALS))
    state_dir: Path | None = None
    host_reason: Reason | None = None  # of the checks of the token host
    now: float = 1000.0
    wall: float = 1_800_000_000.0  # Unix seconds at `now` 0
    logins_only: bool = False  # omit pings and checks, which are most of the runs of a month
    sent: list[SentRequest] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)  # starts of login runs, in seconds since the start of the harness
    results: list[Result] = field(default_factory=list)
    checks: list[HostCheck] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.now
        self.clock = Clock(now=lambda: self.now, wall=lambda: self.wall + self.now)
        self.begin()

    def begin(self) -> None:
        """Start the process of the monitor, also after a restart."""
        self._next = {"login": self.now}
        if not self.logins_only:
            self._next |= {"ping": self.now + 1, "check": self.now + 1 + self.settings.ping_interval / 2}
        self.state = State(self.state_dir, clock=self.clock)
        self.environment = MonitoredEnvironment(self.settings, self, self, self.state, self.clock)

    def restart(self, pause: float = 1.0) -> None:
        """End the process and start it again after `pause` seconds."""
        self.state.close()
        self.now += pause
        self.begin()

    def use(self, **changes: object) -> None:
        """Reload with changed settings of the environment."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self.environment.use(self.settings, self)

    def run(self, seconds: float) -> None:
        """Advance the clock by `seconds` and start the scheduled and additional runs."""
        end = self.now + seconds
        while True:
            due = dict(self._next)
            for job, moment in (("login", self.environment.next_login()), ("ping", self.environment.next_ping())):
                if moment is not None and job in due:
                    due[job] = min(due[job], max(moment, self.now))
            job = min(due, key=lambda candidate: due[candidate])
            if due[job] > end:
                self.now = end
                return
            self.now = max(self.now, due[job])
            self._run(job)
            self.now += 0.01  # duration of an exchange

    def _run(self, job: str) -> None:
        intervals = {"login": self.settings.auth_interval, "ping": self.settings.ping_interval}
        if self.now >= self._next[job]:
            self._next[job] += intervals.get(job, self.settings.ping_interval)
        if job == "login":
            self.environment.run_login()
        elif job == "ping":
            self.environment.run_ping()
        elif self.settings.token_host_check:
            self.environment.run_host_check()

    def logins(self) -> list[float]:
        """Return the times of the login requests, in seconds since the start."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.TOKEN]

    def names(self) -> list[FieldNames | None]:
        """Return the field names of the login requests, in order."""
        return [sent.field_names for sent in self.sent if sent.endpoint is Endpoint.TOKEN]

    def pings(self) -> list[float]:
        """Return the times of the pings with and without a token, in seconds since the start."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.PING]

    def outcomes(self, endpoint: Endpoint) -> list[Reason | None]:
        """Return the reasons of the decisive Results of an endpoint, in order."""
        decisive = [result for result in self.results if result.is_decisive]
        return [result.verdict.reason for result in decisive if result.endpoint is endpoint]

    def granted(self, lifetime: float = HOUR) -> Result:
        """Return the Result of a login that was granted a new token."""
        expires = self.now + lifetime
        token = Token(value=f"t{len(self.sent)}", lifetime=lifetime, expires=expires, expires_at=self.wall + expires)
        return replace(WELL, token=token)

    # Implementation of `ProbeClient` and `EnvironmentSink`.

    def log_in(self, names: FieldNames) -> Result:
        """Record a login request and return its Result."""
        self.sent.append(SentRequest(self.now - self._began, Endpoint.TOKEN, names))
        began = self.state.last_login(self.settings.name) - self._began
        if not self.runs or self.runs[-1] != began:
            self.runs.append(began)
        return replace(self.login(self, names), field_names=names)

    def learn(self, token: Token) -> None:
        """Ignore the token of another client."""

    def ping(self, token: Token | None) -> Result:
        """Record a ping and return its Result."""
        self.sent.append(SentRequest(self.now - self._began, Endpoint.PING, token=token))
        return self.ping_response(self, token)

    def check_token_host(self) -> HostCheck:
        """Return the outcome of a check of the token host."""
        return HostCheck(self.settings.name, self.host_reason)

    def certificate_expiry(self, _endpoint: Endpoint) -> float | None:
        """Return no expiry."""
        return None

    def record(self, result: Result) -> None:
        """Store a Result."""
        self.results.append(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Store the outcome of a check."""
        self.checks.append(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Ignore the expiry of a certificate."""


def busiest_hour(moments: list[float]) -> int:
    """Return the largest number of moments within any hour."""
    ordered = sorted(moments)
    return max((bisect_left(ordered, start + HOUR) - index for index, start in enumerate(ordered)), default=0)
