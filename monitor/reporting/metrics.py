"""Changes of the metrics by Results and by events of the monitor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.config.maintenance import MaintenanceWindow
from monitor.hosts import host_of, origin_of
from monitor.model import Endpoint, HostCheck, LoginCause, Phase, Reason, Result, Role
from monitor.reporting.computed_metrics import EnvironmentReadings, register_computed
from monitor.reporting.maintenance import PlannedTime
from monitor.reporting.metric_families import OUTCOMES, MetricFamilies
from monitor.reporting.observed_time import ObservedTime

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

_BEFORE_THE_REQUEST = frozenset({Phase.RESOLVE, Phase.CONNECT, Phase.TLS})


class Metrics:
    """The metrics of one monitor. Thread-safe: a scrape sees each Result completely or not at all."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._readings: dict[str, EnvironmentReadings] = {}
        self._run_began: dict[tuple[str, Endpoint], float] = {}  # Unix seconds, of runs whose first request was retried
        # Current label values of each endpoint, so that a Result updates only the series that change.
        self._failing: dict[tuple[str, Endpoint], Reason] = {}
        self._down: set[tuple[str, Endpoint]] = set()
        self._observed: dict[tuple[str, Endpoint], ObservedTime] = {}
        self._maintenance: dict[str, tuple[MaintenanceWindow, ...]] = {}
        self._tls_version: dict[tuple[str, Endpoint], str] = {}
        self._origins: dict[tuple[str, Endpoint], tuple[str, str]] = {}  # scheme and host
        self._families = MetricFamilies()
        self._registry = self._families.registry
        self._settings_loaded = self._web_configuration_loaded = True  # at the last attempt
        register_computed(self._registry, self._readings, self._observed, self._maintenance, clock)

    def add(self, settings: EnvironmentSettings, readings: EnvironmentReadings) -> None:
        """Export an environment, or replace its settings. Counters keep their values."""
        name = settings.name
        with self._mutex:
            self._readings[name] = readings
            self._maintenance[name] = settings.maintenance
            planned = PlannedTime(settings.maintenance, self._clock).seconds_between
            for endpoint, url in ((Endpoint.TOKEN, settings.token_url), (Endpoint.PING, settings.api_url)):
                origin = origin_of(url)
                if self._origins.setdefault((name, endpoint), origin) != origin:
                    self._origins[name, endpoint] = origin
                    self._remove_host(name, endpoint)
            intervals = {Endpoint.TOKEN: settings.auth_interval, Endpoint.PING: settings.ping_interval}
            for endpoint, interval in intervals.items():
                observed = self._observed.setdefault((name, endpoint), ObservedTime(interval, settings.timeout))
                observed.use(interval, settings.timeout)
                observed.plan(planned, self._clock.now())
                self._families.interval.labels(name, endpoint).set(interval)
                self._families.duration.labels(name, endpoint)
                self._families.unauthorized.labels(name, endpoint)
                self._families.missed.labels(name, endpoint)
                for outcome in OUTCOMES:
                    self._families.requests.labels(name, endpoint, outcome)
                for reason in Reason:
                    self._families.failure.labels(name, endpoint, reason)
                    self._families.incidents.labels(name, endpoint, reason)
            for cause in LoginCause:
                self._families.renewals.labels(name, cause)
            self._families.token_rejected.labels(name)
            self._families.open.labels(name)
            self._families.info.remove_by_labels({"environment": name})
            hosts = host_of(settings.token_url), host_of(settings.api_url)
            self._families.info.labels(name, *hosts, settings.severity).set(1)

    def _remove_host(self, name: str, endpoint: Endpoint) -> None:
        """Remove the series that describe a host, because the endpoint has moved to another one."""
        labels = {"environment": name, "endpoint": endpoint}
        families = self._families
        for metric in (families.certificate, families.chain, families.tls, families.phase):
            metric.remove_by_labels(labels)
        of_host = (
            (self._families.token_host,)
            if endpoint is Endpoint.TOKEN
            else (self._families.reachable, self._families.open, self._families.offset)
        )
        for gauge in of_host:
            gauge.remove_by_labels({"environment": name})
        self._tls_version.pop((name, endpoint), None)
        self._run_began.pop((name, endpoint), None)
        observed = self._observed[name, endpoint]
        observed.totals(self._clock.now())
        observed.forget_state()

    def remove(self, environment: str) -> None:
        """Remove all series of an environment."""
        with self._mutex:
            self._readings.pop(environment, None)
            self._maintenance.pop(environment, None)
            self._families.remove(environment)
            for endpoint in Endpoint:
                host = environment, endpoint
                for known in (self._run_began, self._failing, self._tls_version, self._origins):
                    known.pop(host, None)
                self._observed.pop(host, None)
                self._down.discard(host)

    def record(self, result: Result) -> None:
        """Update the metrics from a Result. A Result of a removed environment is dropped."""
        with self._mutex:
            if result.environment in self._readings:
                self._record(result)

    def _record(self, result: Result) -> None:
        self._observed[result.environment, result.endpoint].probe_ended(result, self._clock.now())
        self._record_host(result)
        if result.run.role is Role.UNAUTHENTICATED:
            if result.verdict.reason is not Reason.INTERNAL:
                self._families.open.labels(result.environment).set(result.success)
            return
        self._count(result)
        began = self._record_last(result)
        if result.run.role is not Role.RETRIED:
            self._record_decisive(result, began)

    def _record_host(self, result: Result) -> None:
        """Update the state of the host, which does not depend on the kind of request."""
        name, endpoint = result.environment, result.endpoint
        measured = result.measurement
        self._record_certificate(
            name, endpoint, result.verdict.reason, measured.certificate_expiry, measured.chain_expiry
        )
        self._record_tls_version(name, endpoint, result.measurement.tls_version)
        if endpoint is Endpoint.TOKEN and result.verdict.reason is not Reason.INTERNAL:
            self._families.token_host.labels(name).set(result.measurement.failed_phase not in _BEFORE_THE_REQUEST)
        is_unknown = result.verdict.reason is Reason.INTERNAL and not result.reached
        if endpoint is Endpoint.PING and result.verdict.reason is not Reason.NO_TOKEN and not is_unknown:
            self._families.reachable.labels(name).set(result.reached)

    def _record_certificate(
        self, name: str, endpoint: Endpoint, reason: Reason | None, expiry: float | None, chain_expiry: float | None
    ) -> None:
        """Update the expiry series. A chain that failed verification has none."""
        if expiry is not None:
            self._families.certificate.labels(name, endpoint).set(expiry)
        if chain_expiry is not None:
            self._families.chain.labels(name, endpoint).set(chain_expiry)
        elif expiry is not None or reason is Reason.CERTIFICATE:
            self._families.chain.remove(name, endpoint)

    def _record_tls_version(self, name: str, endpoint: Endpoint, version: str | None) -> None:
        if version is None:
            return
        before = self._tls_version.get((name, endpoint), version)
        if before != version:
            self._families.tls.remove(name, endpoint, before)
        self._tls_version[name, endpoint] = version
        self._families.tls.labels(name, endpoint, version).set(1)

    def _count(self, result: Result) -> None:
        name, endpoint = result.environment, result.endpoint
        self._families.requests.labels(name, endpoint, result.verdict.reason or "success").inc()
        if result.verdict.reason is Reason.UNAUTHORIZED:
            self._families.unauthorized.labels(name, endpoint).inc()
        if result.run.token_rejected:
            self._families.token_rejected.labels(name).inc()
        if result.run.cause is not None:
            self._families.renewals.labels(name, result.run.cause).inc()

    def _record_last(self, result: Result) -> float:
        """Update the values of the most recent request; return the start of its run, in Unix seconds."""
        name, endpoint = result.environment, result.endpoint
        if result.clock_offset is not None:
            self._families.offset.labels(name).set(result.clock_offset)
        for phase in Phase:
            if phase in result.measurement.phases:
                self._families.phase.labels(name, endpoint, phase).set(result.measurement.phases[phase])
            else:
                self._families.phase.remove(name, endpoint, phase)
        began = min(self._run_began.pop((name, endpoint), result.measurement.started_at), result.measurement.started_at)
        self._families.attempt.labels(name, endpoint).set(began)
        if result.run.role is Role.RETRIED:
            self._run_began[name, endpoint] = began
        return began

    def _record_decisive(self, result: Result, began: float) -> None:
        host = result.environment, result.endpoint
        before = self._failing.pop(host, None)
        if before is not None:
            self._families.failure.labels(*host, before).set(0)
        if result.verdict.reason is not None:
            self._failing[host] = result.verdict.reason
            self._families.failure.labels(*host, result.verdict.reason).set(1)
        if result.verdict.reason is Reason.INTERNAL:  # the state of the host is unknown: neither up nor down
            self._families.up.remove(*host)
            return
        self._families.up.labels(*host).set(result.success)
        if result.success:
            self._families.duration.labels(*host).observe(result.measurement.duration)
            self._families.last_success.labels(*host).set(result.measurement.ended_at)
            self._families.consecutive.labels(*host).set(0)
            self._families.down_since.remove(*host)
            self._down.discard(host)
        else:
            self._families.consecutive.labels(*host).inc()
            self._record_down(host, result, began)

    def _record_down(self, host: tuple[str, Endpoint], result: Result, began: float) -> None:
        """Export the start of an outage. An internal error starts none, because the state is unknown."""
        if host not in self._down and result.verdict.reason is not Reason.INTERNAL:
            self._down.add(host)
            self._families.down_since.labels(*host).set(began)

    def incident_opened(self, environment: str, endpoint: Endpoint, reason: Reason) -> None:
        """Count an incident that the journal has opened, by the reason of its first failure."""
        with self._mutex:
            if environment in self._readings:
                self._families.incidents.labels(environment, endpoint, reason).inc()

    def observed_of(self, environment: str, endpoint: Endpoint) -> tuple[float, float]:
        """Return observed and down time of an endpoint since the start of the process, in seconds."""
        with self._mutex:
            times = self._observed.get((environment, endpoint))
            return (0.0, 0.0) if times is None else times.totals(self._clock.now())

    def observed_totals(self) -> dict[tuple[str, Endpoint], tuple[float, float]]:
        """Return observed and down time of all endpoints since the start of the process, in seconds."""
        with self._mutex:
            now = self._clock.now()
            return {host: times.totals(now) for host, times in self._observed.items()}

    def token_host_checked(self, check: HostCheck) -> None:
        """Export the outcome of a check of a token host. After an internal error its state is unknown."""
        with self._mutex:
            if check.environment not in self._readings or check.reason is Reason.INTERNAL:
                return
            self._families.token_host.labels(check.environment).set(check.reachable)
            self._record_tls_version(check.environment, Endpoint.TOKEN, check.tls_version)
            self._record_certificate(
                check.environment, Endpoint.TOKEN, check.reason, check.certificate_expiry, check.chain_expiry
            )

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Export the expiry (Unix seconds) of a certificate that failed verification."""
        with self._mutex:
            if environment in self._readings:
                self._families.certificate.labels(environment, endpoint).set(expiry)

    def probe_started(self, environment: str, endpoint: Endpoint) -> None:
        """Count no observed time until the Result of this probe is recorded."""
        with self._mutex:
            if environment in self._readings:
                self._observed[environment, endpoint].probe_started(self._clock.now())

    def run_started(self, environment: str, endpoint: Endpoint, delay: float) -> None:
        """Export the delay of a run that started `delay` seconds late."""
        with self._mutex:
            if environment in self._readings:
                self._observed[environment, endpoint].run_started(self._clock.now())
                self._families.delay.labels(environment, endpoint).set(delay)

    def runs_missed(self, environment: str, endpoint: Endpoint, count: int) -> None:
        """Count scheduled runs that were skipped."""
        with self._mutex:
            if environment in self._readings:
                self._families.missed.labels(environment, endpoint).inc(count)

    def reloaded(self, moment: float | None) -> None:
        """Export the time of a successful reload in Unix seconds; None for a failed reload."""
        with self._mutex:
            self._settings_loaded = moment is not None
            self._export_reloads()
            if moment is not None:
                self._families.reload_time.set(moment)

    def web_configuration_read(self, *, success: bool) -> None:
        """Export the outcome of the last attempt to read the web configuration again."""
        with self._mutex:
            self._web_configuration_loaded = success
            self._export_reloads()

    def _export_reloads(self) -> None:
        self._families.reload_successful.set(self._settings_loaded and self._web_configuration_loaded)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the body for `accept`, a valid value of the Accept field."""
        encode, content_type = choose_encoder(accept)
        with self._mutex:
            return content_type, encode(self._registry)
