"""Environments that share a state directory, on a clock that jumps from one run to the next.

The ledger checks every request. An exchange takes time on the clock, and the process can end during an exchange.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from monitor.clock import Clock
from monitor.config.settings import EnvironmentSettings
from monitor.model import Endpoint, FieldNames, HostCheck, Reason, Result, Token
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.state import LoginKey, State
from tests.reporting.test_metrics import SETTINGS
from tests.support.login_ledger import Ledger
from tests.support.virtual_time import CREDENTIALS, PONG, UNAUTHORIZED, WELL, ProcessKilledError

EXCHANGE, DECISION = 0.05, 0.01  # seconds that an exchange takes, and a run without one
MAX_RUNS_PER_SECOND = 30  # of one environment; if there are more, a run repeats endlessly
MAX_LOGINS_PER_STEP = 30  # a step ends early after this number of requests, to limit the duration of the test
MAX_SCHEDULED_RUNS = 30  # of one job per step; a longer step omits some, but no login that is due
RESTART_PAUSE = 5.0  # seconds until a process that was killed is started again
FIRST_DELAY = 0.5  # seconds between the first runs of two jobs
ADDRESSES = MappingProxyType(
    {
        "old": (SETTINGS.token_url, SETTINGS.api_url),
        "new API": (SETTINGS.token_url, "https://api2.example/ClientAPI"),
        "new token host": ("https://login2.example/oauth/token", SETTINGS.api_url),
    }
)


class StormError(Exception):
    """A run repeats endlessly."""


@dataclass
class Servers:
    """Next responses of the two servers."""

    login: dict[FieldNames, Result] = field(default_factory=lambda: dict.fromkeys(FieldNames, WELL))
    ping: Result = PONG
    host_reason: Reason | None = None  # of the checks of the token host
    lifetime: float = 3600.0  # seconds, of tokens
    kills: int = 0  # the next logins in which the process is killed
    revoked_before: float = -math.inf  # tokens granted before this time are rejected


class RacingState(State):
    """A state whose login lock first runs the login of another environment."""

    rival: Callable[[], None] | None = None

    def login_lock(self, key: LoginKey) -> threading.Lock:
        """Run the login of the rival once before returning the lock."""
        rival, self.rival = self.rival, None
        if rival is not None:
            rival()
        return super().login_lock(key)


class VirtualEnvironment:
    """One environment with its client and its sink."""

    def __init__(self, monitor: VirtualMonitor, settings: EnvironmentSettings) -> None:
        self.monitor = monitor
        self.settings = settings
        self.busy: deque[float] = deque(maxlen=MAX_RUNS_PER_SECOND)
        self.begin()

    def begin(self) -> None:
        """Start the environment, also in a new process."""
        now, ping_interval = self.monitor.now, self.settings.ping_interval
        self.slots = {"login": now, "ping": now + FIRST_DELAY, "check": now + FIRST_DELAY + ping_interval / 2}
        self.environment = MonitoredEnvironment(self.settings, self, self, self.monitor.state, self.monitor.clock)
        self.monitor.ledger.environment(self.settings.name).attempt_open = False  # it is not persisted

    def use(self, settings: EnvironmentSettings) -> None:
        """Apply changed settings."""
        old, self.settings = self.settings, settings
        if (old.token_url, old.api_url) != (settings.token_url, settings.api_url):
            self.monitor.ledger.moved(settings.name)
        if (old.token_url, old.api_url, old.identity) != (settings.token_url, settings.api_url, settings.identity):
            self.monitor.ledger.environment(
                settings.name
            ).attempt_open = False  # the new credentials cause a login without an operator
        self.environment.use(settings, self)
        for job, interval in (("login", settings.auth_interval), ("ping", settings.ping_interval)):
            self.slots[job] = min(self.slots[job], self.monitor.now + interval)

    def due(self) -> dict[str, float]:
        """Return the time of the next run of each job."""
        due, now = dict(self.slots), self.monitor.now
        for job, moment in (("login", self.environment.next_login()), ("ping", self.environment.next_ping())):
            if moment is not None:
                due[job] = min(due[job], max(moment, now))
        return due

    def run(self, job: str, shortest: float) -> None:
        """Run a job and schedule its next run, at least `shortest` seconds later."""
        if self.monitor.now >= self.slots[job]:
            interval = self.settings.auth_interval if job == "login" else self.settings.ping_interval
            self.slots[job] = self.monitor.now + max(interval, shortest)
        {"login": self.login, "ping": self.ping_run, "check": self.environment.run_host_check}[job]()

    def login(self) -> None:
        """Run the login job."""
        self.monitor.ledger.environment(self.settings.name).run = None
        self.environment.run_login()

    def ping_run(self) -> None:
        """Run the ping job, which may log in."""
        self.monitor.ledger.environment(self.settings.name).run = None
        self.environment.run_ping()

    # Implementation of `ProbeClient` and `EnvironmentSink`.

    def log_in(self, names: FieldNames) -> Result:
        """Check and count a login, and return its response."""
        monitor, settings = self.monitor, self.settings
        monitor.ledger.login(settings, names, monitor.now, self.environment.backoff(Endpoint.TOKEN))
        monitor.logins += 1
        monitor.stepped = False
        if monitor.servers.kills:
            monitor.servers.kills -= 1
            monitor.ledger.killed(settings)
            raise ProcessKilledError
        result = replace(monitor.servers.login[names], field_names=names)
        if result.success:
            result = replace(result, token=self._token())
        monitor.now += settings.timeout if result.verdict.reason is Reason.TIMEOUT else EXCHANGE
        monitor.ledger.response(settings, names, result)
        return result

    def _token(self) -> Token:
        lifetime, monitor = self.monitor.servers.lifetime, self.monitor
        expires = monitor.now + lifetime
        return Token(f"token {monitor.logins}", lifetime, expires, monitor.clock.wall() + lifetime)

    def learn(self, token: Token) -> None:
        """Ignore the token of another client."""

    def ping(self, token: Token | None) -> Result:
        """Check a ping, and return its response."""
        monitor = self.monitor
        monitor.ledger.ping(self.settings.name, token)
        monitor.now += EXCHANGE
        if token is None or token.expires - token.lifetime < monitor.servers.revoked_before:
            return UNAUTHORIZED
        return monitor.servers.ping

    def check_token_host(self) -> HostCheck:
        """Return whether the token host is reachable."""
        return HostCheck(self.settings.name, self.monitor.servers.host_reason)

    def certificate_expiry(self, _endpoint: Endpoint) -> float | None:
        """Return no expiry."""
        return None

    def record(self, result: Result) -> None:
        """Check the pause after a failed login, and that no internal error happened."""
        if result.verdict.reason is Reason.INTERNAL:
            self.monitor.ledger.broken.append(
                f"(x) {self.settings.name} had an internal error: {result.verdict.detail}"
            )
        elif result.run.suppressed_until is not None and result.endpoint is Endpoint.TOKEN:
            self.monitor.ledger.pause(self.settings, result.run.suppressed_until - self.monitor.clock.wall())

    def token_host_checked(self, check: HostCheck) -> None:
        """Ignore the outcome of a check."""

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Ignore the expiry of a certificate."""


class VirtualMonitor:
    """A monitor with its environments, its servers and its clock."""

    def __init__(self, directory: Path, settings: list[EnvironmentSettings]) -> None:
        self.directory = directory
        self.ledger = Ledger()
        self.servers = Servers()
        self.now, self.wall = 1000.0, 1_800_000_000.0  # monotonic seconds; Unix seconds at monotonic 0
        self.logins = 0  # number of requests
        self.stepped = False  # the wall clock was stepped forward after the last persisted login
        self.racing = False  # the last environment logs in just before another one takes the login lock
        self.clock = Clock(now=lambda: self.now, wall=lambda: self.wall + self.now)
        self.state = RacingState(directory, clock=self.clock)
        self.environments = [VirtualEnvironment(self, each) for each in settings]

    def restart(self, pause: float = RESTART_PAUSE, step: float = 0.0) -> None:
        """Start a new process after `pause` seconds, and step the wall clock by `step` seconds before."""
        self.state.close()
        self.step_clock(step)
        self.now += pause
        self.state = RacingState(self.directory, clock=self.clock)
        for environment in self.environments:
            if self.stepped:  # the persisted start of the last login seems older than it is
                self.ledger.environment(environment.settings.name).last_start = -math.inf
            environment.begin()

    def step_clock(self, step: float) -> None:
        """Step the wall clock by `step` seconds."""
        self.wall += step
        self.stepped = self.stepped or step > 0

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Advance the clock by `seconds` and start the scheduled and additional runs."""
        end, limit = self.now + seconds, self.logins + MAX_LOGINS_PER_STEP
        while self.logins < limit and not until():
            moment, environment, job = min(
                (
                    (moment, environment, job)
                    for environment in self.environments
                    for job, moment in environment.due().items()
                ),
                key=lambda run: run[0],
            )
            if moment > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, moment)
            self._run(environment, job, seconds / MAX_SCHEDULED_RUNS)

    def _run(self, environment: VirtualEnvironment, job: str, shortest: float) -> None:
        environment.busy.append(self.now)
        if len(environment.busy) == MAX_RUNS_PER_SECOND and self.now - environment.busy[0] < 1:
            raise StormError(f"(f) the {job} job of {environment.settings.name} repeats without end")
        races = self.racing and job == "login" and environment is not self.environments[-1]
        self.state.rival = self.environments[-1].login if races else None
        try:
            environment.run(job, shortest)
        except ProcessKilledError:
            self.restart()
        finally:
            self.state.rival = None
        self.now += DECISION


def settings(**changes: object) -> EnvironmentSettings:
    """Return settings of an environment."""
    return replace(SETTINGS, credentials=CREDENTIALS, **changes)  # type: ignore[arg-type]
