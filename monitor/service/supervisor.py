"""The supervisor: creates the environments, and passes Results to metrics, event log, status line and journal."""

from __future__ import annotations

import functools
import random
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.config.maintenance import current
from monitor.config.settings import EnvironmentSettings, Settings
from monitor.http.client import HttpClient
from monitor.http.resolver import Resolver
from monitor.model import Endpoint, HostCheck, Result
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.scheduler import Scheduler
from monitor.monitoring.state import State
from monitor.reporting.event_log import EventLog
from monitor.reporting.maintenance import MaintenanceLog
from monitor.reporting.metrics import Metrics
from monitor.reporting.overview import Reports
from monitor.reporting.recorder import Recorder
from monitor.reporting.reports import LiveEnvironment, LiveReports
from monitor.reporting.status_line import StatusLine
from monitor.service.check import CheckedEnvironment
from monitor.service.jobs import LOGIN, PING, EnvironmentJobs
from monitor.service.trust import trust_anchors
from monitor.tigr.client import TigrClient
from monitor.tigr.observation import current_observer


@dataclass(frozen=True, slots=True)
class _Entry:
    settings: EnvironmentSettings
    environment: MonitoredEnvironment


@dataclass(frozen=True, slots=True)
class AllowedLogins:
    """Environments for which an operator requested a login."""

    at_once: list[str]
    undecided: list[str]  # a login is in progress; if it is rejected, the request applies to the next one


class Supervisor:
    """Runs the environments of the settings between `start` and `stop`. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        contexts: Mapping[str, ssl.SSLContext],  # by the name of the environment
        state: State,
        clock: Clock = SYSTEM_CLOCK,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._metrics = Metrics(clock)
        self._event_log = EventLog(clock)
        self._status_line = StatusLine(clock)
        self._maintenance_log = MaintenanceLog(clock)
        self._recorder = Recorder(self._metrics, settings.state_dir, clock)
        self._reports = LiveReports(self._recorder, self, clock)
        self._state = state
        self._clock = clock
        self._resolver = Resolver()
        self._scheduler = Scheduler(self._metrics, clock)
        self._changing = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._trust: dict[str, object] = {}  # the trust anchors, by environment
        self._reload_failed = False
        self._web_configuration_failed = False
        self._alertmanager_url = settings.alertmanager_url
        self._jobs = EnvironmentJobs(self._scheduler, self._maintenance_log, settings, clock, uniform)
        self._apply(settings, contexts)
        self._metrics.reloaded(clock.wall())

    def report_suppressed(self) -> None:
        """Log the environments whose logins were suppressed before this start."""
        for name, entry in self._entries.items():
            logins = entry.environment.logins
            if (pause := logins.suppressed_for) > 0:
                rejected, wall = logins.refused, self._clock.wall()
                self._event_log.suppressed_at_start(name, rejected=rejected, pause=pause, wall=wall)
                if rejected:
                    self._recorder.latest.credentials_were_rejected(name)

    def suppressed(self) -> list[str]:
        """Return the environments whose logins are suppressed."""
        return [name for name, entry in list(self._entries.items()) if entry.environment.logins.suppressed_for > 0]

    def start(self) -> None:
        """Load the journal, and start the scheduler."""
        self._recorder.start()
        self._scheduler.start()

    def stop(self) -> None:
        """Start no further run. Runs in progress are not waited for."""
        self._scheduler.stop()

    def close(self) -> None:
        """Save the journal for the last time, within two seconds."""
        self._recorder.close()

    # Reload.

    def apply(self, settings: Settings, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """Apply new settings: add, change and remove environments. Counters keep their values.

        Exchanges in progress are not waited for.
        """
        with self._changing:
            self._apply(settings, contexts)
            self._alertmanager_url = settings.alertmanager_url
            self._metrics.reloaded(self._clock.wall())
            self._reload_failed = False
        self._scheduler.wake()

    def reload_failed(self) -> None:
        """Report that a reload failed and the old settings stay in force."""
        self._reload_failed = True
        self._metrics.reloaded(None)

    def web_configuration_read(self, problems: tuple[str, ...]) -> None:
        """Report the problems of a changed web configuration; if there are any, the previous one is in force."""
        self._web_configuration_failed = bool(problems)
        self._metrics.web_configuration_read(success=not problems)

    def checked_environments(self) -> list[CheckedEnvironment]:
        """Return the environments, for the check of an operator."""
        return [
            CheckedEnvironment(entry.settings, entry.environment, self._state, self._reports)
            for entry in list(self._entries.values())
        ]

    def request_logins_after_reload(self) -> AllowedLogins:
        """Allow one login in each environment whose rejected credentials suppress it."""
        return self._request_logins(lambda environment: environment.logins.request_after_reload())

    def request_logins_after_signal(self) -> AllowedLogins:
        """Allow one login in each environment whose next login is delayed."""
        return self._request_logins(lambda environment: environment.logins.request_after_signal())

    def _request_logins(self, request: Callable[[MonitoredEnvironment], bool | None]) -> AllowedLogins:
        allowed = {name: request(entry.environment) for name, entry in list(self._entries.items())}
        self._scheduler.wake()
        return AllowedLogins(
            at_once=[name for name, is_allowed in allowed.items() if is_allowed],
            undecided=[name for name, is_allowed in allowed.items() if is_allowed is None],
        )

    def _apply(self, settings: Settings, contexts: Mapping[str, ssl.SSLContext]) -> None:
        anchors = {context: trust_anchors(context) for context in set(contexts.values())}  # environments share contexts
        old_trust, self._trust = self._trust, {name: anchors[context] for name, context in contexts.items()}
        clients = {new.name: self._client(new, contexts[new.name]) for new in settings.environments}
        delays = self._jobs.delays(settings, at_start=not self._entries)
        for name in self._entries.keys() - clients.keys():
            self._remove(name)
        before, entries = self._entries, dict[str, _Entry]()
        for new in settings.environments:
            old, client = before.get(new.name), clients[new.name]
            if old is None:
                environment = MonitoredEnvironment(new, client, self, self._state, self._clock)
            else:
                environment = old.environment
            with environment.generations.lock:  # no Result comes between the new settings and their series
                if old is not None:
                    environment.use(new, client, new_trust=self._trust[new.name] != old_trust.get(new.name))
                self._metrics.add(new, environment)
                self._recorder.use(new, old.settings if old else None)
            self._maintenance_log.use(new.name, new.maintenance)
            entries[new.name] = _Entry(new, environment)
        self._entries = entries  # before the jobs: the Result of an environment without an entry is dropped
        for new, delay in zip(settings.environments, delays, strict=True):
            old = before.get(new.name)
            self._jobs.put(new, old.settings if old else None, entries[new.name].environment, delay)

    def _client(self, settings: EnvironmentSettings, context: ssl.SSLContext) -> TigrClient:
        http_client = HttpClient(context, self._resolver, self._clock)
        on_start = functools.partial(self._metrics.probe_started, settings.name)
        return TigrClient(settings, http_client, self._clock, on_start)

    def _remove(self, name: str) -> None:
        self._scheduler.remove(name)
        self._entries[name].environment.end()
        del self._entries[name]
        self._metrics.remove(name)
        self._event_log.remove(name)
        self._maintenance_log.remove(name)
        self._status_line.remove(name)
        self._recorder.remove(name)

    # Results.

    def record(self, result: Result) -> None:
        """Pass a Result to metrics, event log, status line and journal, unless its environment was removed."""
        if result.environment in self._entries:
            self._metrics.record(result)
            self._event_log.record(result)
            self._status_line.record(result)
            self._recorder.record(result)
            if observer := current_observer():
                observer.recorded(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Pass the outcome of a check of a token host to metrics, reports and event log."""
        self._metrics.token_host_checked(check)
        self._recorder.token_host_checked(check)
        self._event_log.token_host_checked(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Pass the expiry (Unix seconds) of a certificate that failed verification to metrics and reports."""
        self._metrics.certificate_seen(environment, endpoint, expiry)
        self._recorder.certificate_seen(environment, endpoint, expiry)
        if observer := current_observer():
            observer.certificate_seen(endpoint, expiry)

    # Read by the web server and by systemd.

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the body of `/metrics`."""
        return self._metrics.render(accept)

    def stalled(self) -> list[str]:
        """Return one text per job that makes no progress."""
        return self._scheduler.stalled()

    def waiting(self) -> list[str]:
        """Return one text per environment that has not attempted a login."""
        return [
            f"{name}: no login has been attempted yet"
            for name, entry in self._entries.items()
            if not entry.environment.attempted
        ]

    @property
    def reports(self) -> Reports:
        """The state of all environments and the journal, for pages and commands."""
        return self._reports

    def live(self) -> Mapping[str, tuple[EnvironmentSettings, LiveEnvironment]]:
        """Return the settings and the state of each environment."""
        return {name: (entry.settings, entry.environment) for name, entry in self._entries.items()}

    def next_run(self, environment: str, endpoint: Endpoint) -> float | None:
        """Return the time of the next login or ping on the monotonic clock; None if none is scheduled."""
        entry = self._entries.get(environment)
        if entry is None:
            return None
        if endpoint is Endpoint.TOKEN and (moment := entry.environment.next_login()) is not None:
            return moment
        return self._scheduler.next_run(environment, LOGIN if endpoint is Endpoint.TOKEN else PING)

    def problems(self) -> list[str]:
        """Return one text per problem of the monitor itself: failed reloads and jobs without progress."""
        failed = {
            "the reload failed, so the old settings are in force": self._reload_failed,
            "the web configuration was not reloaded, so the previous one is in force": self._web_configuration_failed,
        }
        return [*(text for text, has_failed in failed.items() if has_failed), *self.stalled()]

    def status(self) -> str:
        """Return the status line: the failed reloads, and the stalled jobs or else the state of every environment."""
        failed = {
            "RELOAD FAILED, the old settings are in force": self._reload_failed,
            "WEB CONFIGURATION NOT RELOADED, the previous one is in force": self._web_configuration_failed,
        }
        return "; ".join([*(text for text, has_failed in failed.items() if has_failed), self._state_of_jobs()])

    def _state_of_jobs(self) -> str:
        stalled = self.stalled()
        if stalled:
            return f"STALLED: {stalled[0]}" + (f", and {len(stalled) - 1} more" if len(stalled) > 1 else "")
        entries, wall = list(self._entries.items()), self._clock.wall()
        windows = {name: current(entry.settings.maintenance, wall) for name, entry in entries}
        return self._status_line.text(
            {name: entry.environment for name, entry in entries},
            {name: window for name, window in windows.items() if window is not None},
        )

    @property
    def alertmanager_url(self) -> str | None:
        """Return the URL of the Alertmanager to which the status page links; None for no link."""
        return self._alertmanager_url

    def index(self) -> list[str]:
        """Return the names of the environments."""
        return list(self._entries)
