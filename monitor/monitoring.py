"""What is watched at this moment: the environments with their jobs, metrics and log lines, wired together."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass

from monitor.api import Api
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.environment import Environment
from monitor.metrics import Metrics
from monitor.narrator import Narrator
from monitor.resolver import Resolver
from monitor.result import Endpoint, Result
from monitor.schedule import Job, Schedule
from monitor.settings import EnvironmentSettings, Settings
from monitor.state import State
from monitor.summary import Summary
from monitor.wire import Wire

_LONGEST_GAP = 1.0  # seconds between the first turns of two jobs


@dataclass(frozen=True, slots=True)
class _Watched:
    settings: EnvironmentSettings
    environment: Environment


class Monitoring:
    """Everything between the settings and the metrics, from `start` to `stop`. Safe to use from many threads."""

    def __init__(self, settings: Settings, context: ssl.SSLContext, state: State, clock: Clock = SYSTEM_CLOCK) -> None:
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
        self._adopt(settings, context)
        self._metrics.reloaded(clock.wall())

    def start(self) -> None:
        """Let the turns come."""
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

    def ask_for_logins(self) -> list[str]:
        """Let one login through wherever rejected credentials hold it back; returns the environments where it was."""
        asked = [name for name, watched in self._watched.items() if watched.environment.ask_for_login()]
        self._schedule.wake()
        return asked

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
        """Give an environment its two jobs; those whose times did not change keep their turns."""
        if old is None or (own.auth_interval, own.timeout) != (old.auth_interval, old.timeout):

            def log_in(regular: bool) -> None:  # noqa: FBT001 - the schedule's own signature
                environment.login_turn(regular=regular)

            job = Job(own.name, Endpoint.TOKEN, own.auth_interval, own.timeout, log_in, environment.wants_login)
            self._schedule.put(job, delays.login)
        if old is None or (own.ping_interval, own.timeout) != (old.ping_interval, old.timeout):

            def ping(_regular: bool) -> None:  # noqa: FBT001
                environment.ping_turn()

            job = Job(own.name, Endpoint.PING, own.ping_interval, own.timeout, ping, environment.wants_ping)
            self._schedule.put(job, delays.ping)

    def _delay(self, settings: Settings, position: int) -> _Delays:
        """Spread the jobs over the shortest interval, each at a place of its own, the ping after its login."""
        shortest = min(environment.ping_interval for environment in settings.environments)
        gap = min(_LONGEST_GAP, shortest / (2 * len(settings.environments)))
        elapsed = self._clock.now() - self._began
        login = (2 * position * gap - elapsed) % shortest if self._watched else 2 * position * gap
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
    """Seconds until the first turns of an environment's two jobs."""

    login: float
    ping: float
