"""Jobs of the environments (login, ping, check of the token host, maintenance) and the times of their first runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from monitor.clock import Clock
from monitor.config.settings import EnvironmentSettings, Settings
from monitor.model import Endpoint
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.scheduler import Job, Scheduler
from monitor.reporting.maintenance import MaintenanceLog

_MAX_GAP = 1.0  # seconds between the first runs of two jobs
# Seconds: some servers refuse two simultaneous logins of one user, so two monitors must not log in at the same time.
_MAX_FIRST_DELAY = 2.0
LOGIN, PING, HOST_CHECK, MAINTENANCE = "login", "ping", "token host check", "maintenance"  # names of the jobs
# Seconds between two scheduled checks of the windows of maintenance. Each begin and each end causes an additional one.
_MAINTENANCE_INTERVAL = 86400.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds until the first runs of the login and the ping of an environment."""

    login: float
    ping: float


class EnvironmentJobs:
    """Puts the jobs of the environments into the scheduler."""

    def __init__(
        self,
        scheduler: Scheduler,
        maintenance_log: MaintenanceLog,
        settings: Settings,
        clock: Clock,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._scheduler = scheduler
        self._maintenance_log = maintenance_log
        self._clock = clock
        self._began = clock.now()
        self._first_delay = uniform(0.0, min(_MAX_FIRST_DELAY, _shortest_interval(settings) / 10))

    def put(
        self,
        new: EnvironmentSettings,
        old: EnvironmentSettings | None,
        environment: MonitoredEnvironment,
        delays: Delays,
    ) -> None:
        """Add the jobs of an environment. Jobs whose intervals and timeout did not change keep their schedule."""
        if old is None:
            self._scheduler.put(self._maintenance_job(new.name), _MAINTENANCE_INTERVAL)
        if old is None or (new.auth_interval, new.timeout) != (old.auth_interval, old.timeout):
            times = new.auth_interval, new.timeout
            login = Job(
                new.name,
                LOGIN,
                Endpoint.TOKEN,
                *times,
                environment.run_login,
                environment.next_login,
                environment.login_not_started,
            )
            self._scheduler.put(login, delays.login)
        if old is None or (new.ping_interval, new.timeout) != (old.ping_interval, old.timeout):
            times = new.ping_interval, new.timeout
            ping = Job(
                new.name,
                PING,
                Endpoint.PING,
                *times,
                environment.run_ping,
                environment.next_ping,
                environment.ping_not_started,
            )
            self._scheduler.put(ping, delays.ping)
            old = None  # the check runs half an interval after the ping, so it is rescheduled too
        if not new.token_host_check:
            self._scheduler.remove_job(new.name, HOST_CHECK)
        elif old is None or not old.token_host_check:
            times = new.ping_interval, new.timeout
            check = Job(new.name, HOST_CHECK, None, *times, environment.run_host_check, lambda: None)
            self._scheduler.put(check, delays.ping + new.ping_interval / 2)

    def _maintenance_job(self, name: str) -> Job:
        log = self._maintenance_log
        run, next_run = functools.partial(log.check, name), functools.partial(log.next_check, name)
        return Job(name, MAINTENANCE, None, _MAINTENANCE_INTERVAL, 0.0, run, next_run)

    def delays(self, settings: Settings, *, at_start: bool) -> list[Delays]:
        """Return the delays that spread the jobs over the shortest interval, each ping after its login."""
        shortest = _shortest_interval(settings)
        gap = min(_MAX_GAP, shortest / (2 * len(settings.environments)))
        elapsed = self._clock.now() - self._began
        offsets = [self._first_delay + 2 * position * gap for position in range(len(settings.environments))]
        logins = [offset if at_start else (offset - elapsed) % shortest for offset in offsets]
        return [Delays(login, login + gap) for login in logins]


def _shortest_interval(settings: Settings) -> float:
    return min(environment.ping_interval for environment in settings.environments)
