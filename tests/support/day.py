"""A simulated day of one environment: its decisions and its runs, on a clock that jumps from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.clock import Clock
from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.model import Endpoint, FieldNames, HostCheck, Phase, Reason, Result, Token
from monitor.monitoring.environment import Environment
from monitor.monitoring.state import State
from tests.reporting.test_metrics import SETTINGS

HOUR, DAY = 3600.0, 86400.0
CREDENTIALS = EnvironmentCredentials("id", "secret", "user", "password")
WELL = Result(environment="prod", endpoint=Endpoint.TOKEN, started_at=0.0, duration=0.01, status=200)
PONG = replace(WELL, endpoint=Endpoint.PING)
REJECTED = replace(WELL, reason=Reason.UNAUTHORIZED, status=401, refused=True)
UNAUTHORIZED = replace(PONG, reason=Reason.UNAUTHORIZED, status=401, rejects_token=True)
DOWN = replace(WELL, reason=Reason.CONNECT, status=None)
NO_RESPONSE = replace(WELL, reason=Reason.TIMEOUT, status=None, phases={Phase.PROCESSING: 10.0})
Login = Callable[["Day", FieldNames], Result]
Ping = Callable[["Day", Token | None], Result]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    when: float  # seconds since the beginning of the day
    endpoint: Endpoint
    field_names: FieldNames | None = None
    token: Token | None = None


class ProcessKilledError(Exception):
    """Ends the monitor's process while a request is in flight."""


@dataclass
class Day:
    """An environment, the responses to its requests, and what it has sent."""

    login: Login
    answer: Ping = lambda _day, token: PONG if token else UNAUTHORIZED
    settings: EnvironmentSettings = field(default_factory=lambda: replace(SETTINGS, credentials=CREDENTIALS))
    state_dir: Path | None = None
    host_reason: Reason | None = None  # of the checks of the token host
    now: float = 1000.0
    wall: float = 1_800_000_000.0  # Unix seconds at `now` 0
    logins_only: bool = False  # skip pings and checks, which are most of the runs of a month
    sent: list[Sent] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)  # starts of login runs, in seconds of the day
    results: list[Result] = field(default_factory=list)
    checks: list[HostCheck] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.now
        self.clock = Clock(now=lambda: self.now, wall=lambda: self.wall + self.now)
        self.begin()

    def begin(self) -> None:
        """Start the monitor's process, for the first time or again."""
        self._next = {"login": self.now}
        if not self.logins_only:
            self._next |= {"ping": self.now + 1, "check": self.now + 1 + self.settings.ping_interval / 2}
        self.state = State(self.state_dir, clock=self.clock)
        self.environment = Environment(self.settings, self, self, self.state, self.clock)

    def restart(self, pause: float = 1.0) -> None:
        """End the process, and start it again."""
        self.state.close()
        self.now += pause
        self.begin()

    def use(self, **changes: object) -> None:
        """Reload with changed settings of the environment."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self.environment.use(self.settings, self)

    def run(self, seconds: float) -> None:
        """Let the runs come, scheduled ones and those that the environment asks for."""
        end = self.now + seconds
        while True:
            due = dict(self._next)
            for job, moment in (("login", self.environment.next_login()), ("ping", self.environment.next_ping())):
                if moment is not None and job in due:
                    due[job] = min(due[job], max(moment, self.now))
            job = min(due, key=lambda which: due[which])
            if due[job] > end:
                self.now = end
                return
            self.now = max(self.now, due[job])
            self._run(job)
            self.now += 0.01  # an exchange takes its time

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
        """When login requests were sent, in seconds of the day."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.TOKEN]

    def names(self) -> list[FieldNames | None]:
        """The field names of the login requests, in order."""
        return [sent.field_names for sent in self.sent if sent.endpoint is Endpoint.TOKEN]

    def pings(self) -> list[float]:
        """When pings were sent, with a token or without."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.PING]

    def outcomes(self, endpoint: Endpoint) -> list[Reason | None]:
        """How its runs ended."""
        deciding = [result for result in self.results if not result.retried and not result.unauthenticated]
        return [result.reason for result in deciding if result.endpoint is endpoint]

    def granted(self, lifetime: float = HOUR) -> Result:
        """A login that was granted."""
        expires = self.now + lifetime
        token = Token(value=f"t{len(self.sent)}", lifetime=lifetime, expires=expires, expires_at=self.wall + expires)
        return replace(WELL, token=token)

    # What the environment sends its requests through, and where its Results go.

    def log_in(self, names: FieldNames) -> Result:
        """As `Api` does."""
        self.sent.append(Sent(self.now - self._began, Endpoint.TOKEN, names))
        began = self.state.last_login(self.settings.name) - self._began
        if not self.runs or self.runs[-1] != began:
            self.runs.append(began)
        return replace(self.login(self, names), field_names=names)

    def ping(self, token: Token | None) -> Result:
        """As `Api` does."""
        self.sent.append(Sent(self.now - self._began, Endpoint.PING, token=token))
        return self.answer(self, token)

    def check_token_host(self) -> HostCheck:
        """As `Api` does."""
        return HostCheck(self.settings.name, self.host_reason)

    def certificate_expiry(self, _endpoint: Endpoint) -> float | None:
        """As `Api` does."""
        return None

    def record(self, result: Result) -> None:
        """Keep it."""
        self.results.append(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Keep it."""
        self.checks.append(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Ignore it."""


def busiest_hour(moments: list[float]) -> int:
    """The most of them in any hour."""
    return max((sum(1 for other in moments if start <= other < start + HOUR) for start in moments), default=0)
