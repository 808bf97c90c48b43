"""A simulated day of one environment: its decisions and its turns, on a clock that jumps from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.clock import Clock
from monitor.environment import Environment
from monitor.result import Endpoint, Reason, Result, Spelling, Token
from monitor.settings import Credentials, EnvironmentSettings
from monitor.state import State
from tests.test_metrics import SETTINGS

HOUR, DAY = 3600.0, 86400.0
CREDENTIALS = Credentials("id", "secret", "user", "password")
WELL = Result(environment="prod", endpoint=Endpoint.TOKEN, started_at=0.0, duration=0.01, status=200)
PONG = replace(WELL, endpoint=Endpoint.PING)
REJECTED = replace(WELL, reason=Reason.UNAUTHORIZED, status=401, credentials_rejected=True)
DOWN = replace(WELL, reason=Reason.CONNECT, status=None)
Login = Callable[["Day", Spelling], Result]
Ping = Callable[["Day", Token | None], Result]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request."""

    when: float  # seconds since the beginning of the day
    endpoint: Endpoint
    spelling: Spelling | None = None
    token: Token | None = None


@dataclass
class Day:
    """An environment, what it is answered, and what it has sent."""

    login: Login
    answer: Ping = lambda _day, token: PONG if token else replace(PONG, reason=Reason.UNAUTHORIZED, status=401)
    settings: EnvironmentSettings = field(default_factory=lambda: replace(SETTINGS, credentials=CREDENTIALS))
    state_dir: Path | None = None
    now: float = 1000.0
    wall: float = 1_800_000_000.0  # Unix seconds at `now` 0
    sent: list[Sent] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.now
        self._next = {Endpoint.TOKEN: self.now, Endpoint.PING: self.now + 1}
        self.begin()

    def begin(self) -> None:
        """Start the monitor's process, for the first time or again."""
        self.clock = Clock(now=lambda: self.now, wall=lambda: self.wall + self.now)
        self.state = State(self.state_dir)
        self.environment = Environment(self.settings, self, self, self.state, self.clock)

    def restart(self, pause: float = 1.0) -> None:
        """End the process, and start it again."""
        self.state.close()
        self.now += pause
        self._next = {Endpoint.TOKEN: self.now, Endpoint.PING: self.now + 1}
        self.begin()

    def run(self, seconds: float) -> None:
        """Let the turns come, regular ones and those that the environment wants."""
        end = self.now + seconds
        intervals = {Endpoint.TOKEN: self.settings.auth_interval, Endpoint.PING: self.settings.ping_interval}
        while True:
            wanted = {Endpoint.TOKEN: self.environment.wants_login(), Endpoint.PING: self.environment.wants_ping()}
            due = {endpoint: self._next[endpoint] for endpoint in Endpoint}
            for endpoint, moment in wanted.items():
                if moment is not None:
                    due[endpoint] = min(due[endpoint], max(moment, self.now))
            endpoint = min(due, key=lambda which: due[which])
            if due[endpoint] > end:
                self.now = end
                return
            self.now = due[endpoint]
            regular = self.now >= self._next[endpoint]
            if regular:
                self._next[endpoint] += intervals[endpoint]
            if endpoint is Endpoint.TOKEN:
                self.environment.login_turn(regular=regular)
            else:
                self.environment.ping_turn()
            self.now += 0.01  # an exchange takes its time

    def logins(self) -> list[float]:
        """When logins were sent, in seconds of the day."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.TOKEN]

    def pings(self) -> list[float]:
        """When pings were sent, with a token or without."""
        return [sent.when for sent in self.sent if sent.endpoint is Endpoint.PING]

    def outcomes(self, endpoint: Endpoint) -> list[Reason | None]:
        """How its turns ended."""
        deciding = [told for told in self.results if not told.superseded and not told.question]
        return [told.reason for told in deciding if told.endpoint is endpoint]

    def granted(self, lifetime: float = HOUR) -> Result:
        """A login that did its job."""
        expires = self.now + lifetime
        token = Token(value=f"t{len(self.sent)}", lifetime=lifetime, expires=expires, expires_at=self.wall + expires)
        return replace(WELL, token=token)

    # What the environment sends its requests through, and where its Results go.

    def log_in(self, spelling: Spelling) -> Result:
        """As `Api` does."""
        self.sent.append(Sent(self.now - self._began, Endpoint.TOKEN, spelling))
        return replace(self.login(self, spelling), spelling=spelling)

    def ping(self, token: Token | None) -> Result:
        """As `Api` does."""
        self.sent.append(Sent(self.now - self._began, Endpoint.PING, token=token))
        return self.answer(self, token)

    def certificate_expiry(self, _endpoint: Endpoint) -> float | None:
        """As `Api` does."""
        return None

    def record(self, result: Result) -> None:
        """Keep it."""
        self.results.append(result)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Nobody asks."""


def busiest_hour(moments: list[float]) -> int:
    """The most of them in any hour."""
    return max((sum(1 for other in moments if start <= other < start + HOUR) for start in moments), default=0)
