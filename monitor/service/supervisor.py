"""What is watched at this moment: the environments with their jobs, metrics and log lines, wired together."""

from __future__ import annotations

import random
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.config.settings import EnvironmentSettings, Settings
from monitor.http.client import Wire
from monitor.http.resolver import Resolver
from monitor.model import Endpoint, HostCheck, Result
from monitor.monitoring.environment import Environment
from monitor.monitoring.scheduler import Job, Schedule
from monitor.monitoring.state import State
from monitor.reporting.event_log import Narrator
from monitor.reporting.metrics import Metrics
from monitor.reporting.status_line import Summary
from monitor.tigr.client import Api

_LONGEST_GAP = 1.0  # seconds between the first turns of two jobs
# Seconds: two monitors of one user that start together must not log in at the same moment, which some servers refuse.
_MAX_FIRST_DELAY = 2.0
LOGIN, PING, HOST_CHECK = "login", "ping", "token host check"  # names of the jobs


@dataclass(frozen=True, slots=True)
class _Watched:
    settings: EnvironmentSettings
    environment: Environment


class Monitoring:
    """Everything between the settings and the metrics, from `start` to `stop`. Safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        context: ssl.SSLContext,
        state: State,
        clock: Clock = SYSTEM_CLOCK,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._metrics = Metrics()
        self._narrator = Narrator()
        self._summary = Summary(clock)
        self._state = state
        self._clock = clock
        self._resolver = Resolver()
        self._schedule = Schedule(self._metrics, clock)
        self._changing = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._began = clock.now()
        shortest = min(environment.ping_interval for environment in settings.environments)
        self._first_delay = uniform(0.0, min(_MAX_FIRST_DELAY, shortest / 10))
        self._adopt(settings, context)
        self._metrics.reloaded(clock.wall())

    def report_suppressed(self) -> None:
        """Log the environments whose logins are suppressed since before this start."""
        for name, watched in self._watched.items():
            logins = watched.environment.logins
            if (pause := logins.suppressed_for) > 0:
                rejected, wall = logins.refused, self._clock.wall()
                self._narrator.suppressed_at_start(name, rejected=rejected, pause=pause, wall=wall)

    def suppressed(self) -> list[str]:
        """Return the environments whose logins are suppressed."""
        return [name for name, watched in list(self._watched.items()) if watched.environment.logins.suppressed_for > 0]

    def start(self) -> None:
        """Start the scheduler."""
        self._schedule.start()

    def stop(self) -> None:
        """Let no further turn begin; those under way are not waited for."""
        self._schedule.stop()

    # A reload.

    def adopt(self, settings: Settings, context: ssl.SSLContext) -> None:
        """Go over to new settings: environments come, change and go; what was counted stays.

        It waits for logins under way.
        """
        with self._changing:
            self._adopt(settings, context)
            self._metrics.reloaded(self._clock.wall())
        self._schedule.wake()

    def keep(self) -> None:
        """Stay with the settings in force, because the new ones cannot be used."""
        self._metrics.reloaded(None)

    def request_logins_after_reload(self) -> list[str]:
        """Allow one login wherever rejected credentials suppress it; return the environments where it is allowed."""
        return self._requested(lambda environment: environment.logins.request_after_reload())

    def request_logins_after_signal(self) -> list[str]:
        """Allow one login wherever something delays it; return the environments where it is allowed."""
        return self._requested(lambda environment: environment.logins.request_after_signal())

    def _requested(self, request: Callable[[Environment], bool]) -> list[str]:
        allowed = [name for name, watched in list(self._watched.items()) if request(watched.environment)]
        self._schedule.wake()
        return allowed

    def _adopt(self, settings: Settings, context: ssl.SSLContext) -> None:
        wire = Wire(context, self._resolver, self._clock)
        for name in self._watched.keys() - {environment.name for environment in settings.environments}:
            self._remove(name)
        watched = {}
        for position, own in enumerate(settings.environments):
            old = self._watched.get(own.name)
            api = Api(own, wire, self._clock)
            if old is None:
                environment = Environment(own, api, self, self._state, self._clock)
            else:
                environment = old.environment
                environment.use(own, api)
            watched[own.name] = _Watched(own, environment)
            self._metrics.watch(own, environment)
            self._put_jobs(own, old.settings if old else None, environment, self._delay(settings, position))
        self._watched = watched

    def _put_jobs(
        self, own: EnvironmentSettings, old: EnvironmentSettings | None, environment: Environment, delays: _Delays
    ) -> None:
        """Give an environment its jobs; those whose times did not change keep their turns."""
        if old is None or (own.auth_interval, own.timeout) != (old.auth_interval, old.timeout):
            times = own.auth_interval, own.timeout
            login = Job(own.name, LOGIN, Endpoint.TOKEN, *times, environment.run_login, environment.next_login)
            self._schedule.put(login, delays.login)
        if old is None or (own.ping_interval, own.timeout) != (old.ping_interval, old.timeout):
            times = own.ping_interval, own.timeout
            ping = Job(own.name, PING, Endpoint.PING, *times, environment.run_ping, environment.next_ping)
            self._schedule.put(ping, delays.ping)
            old = None  # the check lies half an interval off the ping
        if not own.token_host_check:
            self._schedule.remove_job(own.name, HOST_CHECK)
        elif old is None or not old.token_host_check:
            times = own.ping_interval, own.timeout
            check = Job(own.name, HOST_CHECK, None, *times, environment.run_host_check, lambda: None)
            self._schedule.put(check, delays.ping + own.ping_interval / 2)

    def _delay(self, settings: Settings, position: int) -> _Delays:
        """Spread the jobs over the shortest interval, each at a place of its own, the ping after its login."""
        shortest = min(environment.ping_interval for environment in settings.environments)
        gap = min(_LONGEST_GAP, shortest / (2 * len(settings.environments)))
        elapsed = self._clock.now() - self._began
        place = self._first_delay + 2 * position * gap
        login = (place - elapsed) % shortest if self._watched else place
        return _Delays(login, login + gap)

    def _remove(self, name: str) -> None:
        self._schedule.remove(name)
        del self._watched[name]
        self._metrics.forget(name)
        self._narrator.forget(name)
        self._summary.forget(name)

    # Where the Results go.

    def record(self, result: Result) -> None:
        """Take a Result in, unless its environment was taken away meanwhile."""
        if result.environment in self._watched:
            self._metrics.record(result)
            self._narrator.record(result)
            self._summary.record(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Take in the outcome of a connection to a token host."""
        self._metrics.token_host_checked(check)
        self._narrator.token_host_checked(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Take in when a certificate ends that did not verify, in Unix seconds."""
        self._metrics.certificate_seen(environment, endpoint, expiry)

    # What the web server shows.

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of `/metrics`."""
        return self._metrics.render(accept)

    def stalled(self) -> list[str]:
        """Say which jobs make no progress."""
        return self._schedule.stalled()

    def waiting(self) -> list[str]:
        """Say which environments have not made their first login attempt."""
        return [
            f"{name}: no login was attempted yet"
            for name, watched in self._watched.items()
            if not watched.environment.attempted
        ]

    def status(self) -> str:
        """Say in one line how everything is."""
        stalled = self.stalled()
        if stalled:
            return f"STALLED: {stalled[0]}" + (f", and {len(stalled) - 1} more" if len(stalled) > 1 else "")
        return self._summary.text({name: watched.environment for name, watched in list(self._watched.items())})

    def index(self) -> list[str]:
        """Return the names of the environments."""
        return list(self._watched)


@dataclass(frozen=True, slots=True)
class _Delays:
    """Seconds until the first turns of an environment's login and ping."""

    login: float
    ping: float
