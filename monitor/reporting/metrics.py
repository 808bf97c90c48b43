"""Metrics: their declaration, and the changes that a Result causes. They are a public interface (README, Metrics)."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import __version__, log
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.errors import describe_exception
from monitor.failures import FailurePeriod
from monitor.log import fields
from monitor.model import Endpoint, HostCheck, LoginCause, Phase, Reason, Result, Role, Token
from monitor.reporting.observed_time import ObservedTime

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

# Seconds. They never change, because histograms with different buckets cannot be added up.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
OUTCOMES = ("success", *Reason)
_HOST = ("environment", "endpoint")
_BEFORE_THE_REQUEST = frozenset({Phase.RESOLVE, Phase.CONNECT, Phase.TLS})
Kept = TypeVar("Kept", bound=MetricWrapperBase)
_log = logging.getLogger(__name__)


class EnvironmentReadings(Protocol):
    """State of an environment at a scrape; `monitor.monitoring.environment` documents the members."""

    @property
    def token(self) -> Token | None: ...
    @property
    def credentials_rejected(self) -> bool: ...
    def headroom(self) -> float | None: ...
    def backoff(self, endpoint: Endpoint) -> float: ...


Reading = Iterable[tuple[tuple[str, ...], float]]  # further label values and the value, per series


class Metrics:
    """The metrics of one monitor. Thread-safe: a scrape sees each Result completely or not at all."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._mutex = threading.Lock()
        self._readings: dict[str, EnvironmentReadings] = {}
        self._run_began: dict[tuple[str, Endpoint], float] = {}  # Unix seconds, of runs whose first request was retried
        # Current label values of each endpoint, so that a Result updates only the series that change.
        self._failing: dict[tuple[str, Endpoint], Reason] = {}
        self._down: set[tuple[str, Endpoint]] = set()
        self._observed: dict[tuple[str, Endpoint], ObservedTime] = {}
        self._tls_version: dict[tuple[str, Endpoint], str] = {}
        self._origins: dict[tuple[str, Endpoint], tuple[str, str]] = {}  # scheme and host
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._of_environments: list[MetricWrapperBase] = []

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return self._keep(Gauge(name, text, labels, registry=registry))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return self._keep(Counter(name, text, labels, registry=registry))

        self._up = gauge(
            "tigr_up",
            "Whether the most recent probe succeeded (1) or failed (0); absent after an internal failure.",
            *_HOST,
        )
        self._duration = self._keep(
            Histogram(
                "tigr_request_duration_seconds",
                "Duration of successful requests, from the start of name resolution to the last byte of the body.",
                _HOST,
                buckets=BUCKETS,
                registry=registry,
            )
        )
        self._unauthorized = counter("tigr_unauthorized", "Responses with status 401.", *_HOST)
        self._requests = counter("tigr_requests", "Requests by outcome: success or a reason.", *_HOST, "outcome")
        self._failure = gauge(
            "tigr_failure", "1 for the reason of the current failure, 0 for every other reason.", *_HOST, "reason"
        )
        self._phase = gauge("tigr_request_phase_seconds", "Phases of the most recent request.", *_HOST, "phase")
        self._consecutive = gauge("tigr_consecutive_failures", "Consecutive failures; 0 after a success.", *_HOST)
        self._interval = gauge("tigr_interval_seconds", "The configured probe interval.", *_HOST)
        self._attempt = gauge("tigr_last_attempt_timestamp_seconds", "Start of the most recent probe.", *_HOST)
        self._last_success = gauge("tigr_last_success_timestamp_seconds", "End of the most recent success.", *_HOST)
        self._down_since = gauge(
            "tigr_down_since_timestamp_seconds", "Start of the first failed probe in a row.", *_HOST
        )
        self._token_rejected = counter(
            "tigr_token_rejected",
            "Pings refused with 401 although the token was the current one and had not expired by our clock.",
            "environment",
        )
        self._renewals = counter("tigr_token_renewals", "Logins attempted, by cause.", "environment", "cause")
        self._reachable = gauge(
            "tigr_api_reachable",
            "Whether the Client API host sent an HTTP response to its most recent probe (1) or not (0).",
            "environment",
        )
        self._token_host = gauge(
            "tigr_token_host_reachable",
            "Whether the most recent TLS connection to the token host (login or connection check) succeeded (1) "
            "or failed (0).",
            "environment",
        )
        self._open = gauge(
            "tigr_api_open",
            "Whether the most recent unauthenticated probe got a 200 with a well-formed pong (1) or not (0).",
            "environment",
        )
        self._certificate = gauge(
            "tigr_certificate_expiry_timestamp_seconds",
            "Expiry (notAfter) of the host's certificate, as last seen.",
            *_HOST,
        )
        self._chain = gauge(
            "tigr_certificate_chain_expiry_timestamp_seconds",
            "Earliest expiry (notAfter) in the most recent verified chain, trust anchor included.",
            *_HOST,
        )
        self._tls = gauge(
            "tigr_tls_info",
            "Protocol version of the most recent TLS handshake; the value is always 1.",
            *_HOST,
            "version",
        )
        self._offset = gauge(
            "tigr_clock_offset_seconds", "Server clock minus local clock at the middle of the request.", "environment"
        )
        self._delay = gauge("tigr_schedule_delay_seconds", "Delay of the start of the most recent run.", *_HOST)
        self._missed = counter("tigr_schedule_missed", "Scheduled probes that were skipped.", *_HOST)
        self._info = gauge(
            "tigr_environment_info",
            "Hosts of the environment; the value is always 1.",
            "environment",
            "token_host",
            "api_host",
        )
        self._settings_loaded = self._web_configuration_loaded = True  # at the last attempt
        self._declare_computed()
        self._reload_successful = Gauge(
            "tigr_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            registry=registry,
        )
        self._reload_time = Gauge(
            "tigr_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            registry=registry,
        )
        build = Gauge(
            "tigr_build_info",
            "Versions of the monitor and of Python; the value is always 1.",
            ("version", "python"),
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        registry.register(_DroppedMessages())
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def _keep(self, metric: Kept) -> Kept:
        self._of_environments.append(metric)
        return metric

    def _declare_computed(self) -> None:
        """Declare the metrics that are computed at a scrape."""
        self._registry.register(_ObservedTimeCollector(self._observed, self._clock))

        def at_scrape(name: str, text: str, read: Callable[[EnvironmentReadings], Reading], *labels: str) -> None:
            self._registry.register(_ComputedGauge(name, text, ("environment", *labels), lambda: self._readings, read))

        at_scrape(
            "tigr_token_expiry_headroom_seconds",
            "Seconds until the current token expires, negative after expiry.",
            lambda environment: _unlabelled(environment.headroom()),
        )
        at_scrape(
            "tigr_token_expiry_timestamp_seconds",
            "Expiry of the current token.",
            lambda environment: _unlabelled(environment.token.expires_at if environment.token else None),
        )
        at_scrape(
            "tigr_token_lifetime_seconds",
            "Lifetime with which the current token was granted, capped by the JWT's own.",
            lambda environment: _unlabelled(environment.token.lifetime if environment.token else None),
        )
        at_scrape(
            "tigr_credentials_rejected",
            "1 while the authorization server has rejected these credentials and logins are suppressed, else 0.",
            lambda environment: _unlabelled(float(environment.credentials_rejected)),
        )
        at_scrape(
            "tigr_backoff_seconds",
            "Seconds until the next attempt is allowed; 0 when nothing delays it, +Inf while logins are stopped.",
            lambda environment: [((endpoint,), environment.backoff(endpoint)) for endpoint in Endpoint],
            "endpoint",
        )

    def add(self, settings: EnvironmentSettings, readings: EnvironmentReadings) -> None:
        """Export an environment, or replace its settings. Counters keep their values."""
        name = settings.name
        with self._mutex:
            self._readings[name] = readings
            for endpoint, url in ((Endpoint.TOKEN, settings.token_url), (Endpoint.PING, settings.api_url)):
                origin = urlsplit(url)[:2]
                if self._origins.setdefault((name, endpoint), origin) != origin:
                    self._origins[name, endpoint] = origin
                    self._remove_host(name, endpoint)
            intervals = {Endpoint.TOKEN: settings.auth_interval, Endpoint.PING: settings.ping_interval}
            for endpoint, interval in intervals.items():
                observed = self._observed.setdefault((name, endpoint), ObservedTime(interval, settings.timeout))
                observed.use(interval, settings.timeout)
                self._interval.labels(name, endpoint).set(interval)
                self._duration.labels(name, endpoint)
                self._unauthorized.labels(name, endpoint)
                self._missed.labels(name, endpoint)
                for outcome in OUTCOMES:
                    self._requests.labels(name, endpoint, outcome)
                for reason in Reason:
                    self._failure.labels(name, endpoint, reason)
            for cause in LoginCause:
                self._renewals.labels(name, cause)
            self._token_rejected.labels(name)
            self._open.labels(name)
            self._info.remove_by_labels({"environment": name})
            self._info.labels(name, _host(settings.token_url), _host(settings.api_url)).set(1)

    def _remove_host(self, name: str, endpoint: Endpoint) -> None:
        """Remove the series that describe a host, because the endpoint has moved to another one."""
        labels = {"environment": name, "endpoint": endpoint}
        for metric in (self._certificate, self._tls, self._phase):
            metric.remove_by_labels(labels)
        of_host = (self._token_host,) if endpoint is Endpoint.TOKEN else (self._reachable, self._open, self._offset)
        for gauge in of_host:
            gauge.remove_by_labels({"environment": name})
        self._tls_version.pop((name, endpoint), None)
        self._run_began.pop((name, endpoint), None)

    def remove(self, environment: str) -> None:
        """Remove all series of an environment."""
        with self._mutex:
            self._readings.pop(environment, None)
            for metric in self._of_environments:
                metric.remove_by_labels({"environment": environment})
            for endpoint in Endpoint:
                for known in (self._run_began, self._failing, self._tls_version, self._origins, self._observed):
                    known.pop((environment, endpoint), None)
                self._down.discard((environment, endpoint))

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
                self._open.labels(result.environment).set(result.success)
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
            self._token_host.labels(name).set(result.measurement.failed_phase not in _BEFORE_THE_REQUEST)
        is_unknown = result.verdict.reason is Reason.INTERNAL and not result.reached
        if endpoint is Endpoint.PING and result.verdict.reason is not Reason.NO_TOKEN and not is_unknown:
            self._reachable.labels(name).set(result.reached)

    def _record_certificate(
        self, name: str, endpoint: Endpoint, reason: Reason | None, expiry: float | None, chain_expiry: float | None
    ) -> None:
        """Update the expiry series. A chain that failed verification has none."""
        if expiry is not None:
            self._certificate.labels(name, endpoint).set(expiry)
        if chain_expiry is not None:
            self._chain.labels(name, endpoint).set(chain_expiry)
        elif expiry is not None or reason is Reason.CERTIFICATE:
            self._chain.remove(name, endpoint)

    def _record_tls_version(self, name: str, endpoint: Endpoint, version: str | None) -> None:
        if version is None:
            return
        before = self._tls_version.get((name, endpoint), version)
        if before != version:
            self._tls.remove(name, endpoint, before)
        self._tls_version[name, endpoint] = version
        self._tls.labels(name, endpoint, version).set(1)

    def _count(self, result: Result) -> None:
        name, endpoint = result.environment, result.endpoint
        self._requests.labels(name, endpoint, result.verdict.reason or "success").inc()
        if result.verdict.reason is Reason.UNAUTHORIZED:
            self._unauthorized.labels(name, endpoint).inc()
        if result.run.token_rejected:
            self._token_rejected.labels(name).inc()
        if result.run.cause is not None:
            self._renewals.labels(name, result.run.cause).inc()

    def _record_last(self, result: Result) -> float:
        """Update the values of the most recent request; return the start of its run, in Unix seconds."""
        name, endpoint = result.environment, result.endpoint
        if result.clock_offset is not None:
            self._offset.labels(name).set(result.clock_offset)
        for phase in Phase:
            if phase in result.measurement.phases:
                self._phase.labels(name, endpoint, phase).set(result.measurement.phases[phase])
            else:
                self._phase.remove(name, endpoint, phase)
        began = min(self._run_began.pop((name, endpoint), result.measurement.started_at), result.measurement.started_at)
        self._attempt.labels(name, endpoint).set(began)
        if result.run.role is Role.RETRIED:
            self._run_began[name, endpoint] = began
        return began

    def _record_decisive(self, result: Result, began: float) -> None:
        host = result.environment, result.endpoint
        before = self._failing.pop(host, None)
        if before is not None:
            self._failure.labels(*host, before).set(0)
        if result.verdict.reason is not None:
            self._failing[host] = result.verdict.reason
            self._failure.labels(*host, result.verdict.reason).set(1)
        if result.verdict.reason is Reason.INTERNAL:  # the state of the host is unknown: neither up nor down
            self._up.remove(*host)
            return
        self._up.labels(*host).set(result.success)
        if result.success:
            self._duration.labels(*host).observe(result.measurement.duration)
            self._last_success.labels(*host).set(result.measurement.ended_at)
            self._consecutive.labels(*host).set(0)
            self._down_since.remove(*host)
            self._down.discard(host)
        else:
            self._consecutive.labels(*host).inc()
            self._record_down(host, result, began)

    def _record_down(self, host: tuple[str, Endpoint], result: Result, began: float) -> None:
        """Export the start of an outage. An internal error starts none, because the state is unknown."""
        if host not in self._down and result.verdict.reason is not Reason.INTERNAL:
            self._down.add(host)
            self._down_since.labels(*host).set(began)

    def token_host_checked(self, check: HostCheck) -> None:
        """Export the outcome of a check of a token host. After an internal error its state is unknown."""
        with self._mutex:
            if check.environment not in self._readings or check.reason is Reason.INTERNAL:
                return
            self._token_host.labels(check.environment).set(check.reachable)
            self._record_tls_version(check.environment, Endpoint.TOKEN, check.tls_version)
            self._record_certificate(
                check.environment, Endpoint.TOKEN, check.reason, check.certificate_expiry, check.chain_expiry
            )

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Export the expiry (Unix seconds) of a certificate that failed verification."""
        with self._mutex:
            if environment in self._readings:
                self._certificate.labels(environment, endpoint).set(expiry)

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
                self._delay.labels(environment, endpoint).set(delay)

    def runs_missed(self, environment: str, endpoint: Endpoint, count: int) -> None:
        """Count scheduled runs that were skipped."""
        with self._mutex:
            if environment in self._readings:
                self._missed.labels(environment, endpoint).inc(count)

    def reloaded(self, moment: float | None) -> None:
        """Export the time of a successful reload in Unix seconds; None for a failed reload."""
        with self._mutex:
            self._settings_loaded = moment is not None
            self._export_reloads()
            if moment is not None:
                self._reload_time.set(moment)

    def web_configuration_read(self, *, success: bool) -> None:
        """Export the outcome of the last attempt to read the web configuration again."""
        with self._mutex:
            self._web_configuration_loaded = success
            self._export_reloads()

    def _export_reloads(self) -> None:
        self._reload_successful.set(self._settings_loaded and self._web_configuration_loaded)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the body for `accept`, a valid value of the Accept field."""
        encode, content_type = choose_encoder(accept)
        with self._mutex:
            return content_type, encode(self._registry)


class _DroppedMessages(Collector):
    def collect(self) -> Iterator[Metric]:
        """Yield the counter of log records that could not be written."""
        text = "Log records that standard error did not accept in time."
        yield CounterMetricFamily("tigr_log_messages_dropped", text, value=log.dropped())


class _ComputedGauge(Collector):
    """A gauge that is computed at a scrape. If that fails, its series are missing and the scrape succeeds."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        readings: Callable[[], dict[str, EnvironmentReadings]],
        read: Callable[[EnvironmentReadings], Reading],
    ) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._readings = readings
        self._read = read
        self._failures = FailurePeriod()

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge with the series that can be computed."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        failed = False
        for environment, readings in self._readings().items():
            try:
                for labels, value in self._read(readings):
                    family.add_metric((environment, *labels), value)
            except Exception as error:  # noqa: BLE001 - any exception: the class states why
                failed = True
                if self._failures.failed(fault := describe_exception(error)):
                    _log.error("cannot compute a metric", extra=fields(metric=self._name, fault=fault))
        if not failed and (count := self._failures.succeeded()):
            _log.info("the metric can be computed again", extra=fields(metric=self._name, failed=count))
        yield family


class _ObservedTimeCollector(Collector):
    """The counters of observed and down time, computed for the same moment."""

    def __init__(self, observed: Mapping[tuple[str, Endpoint], ObservedTime], clock: Clock) -> None:
        self._observed = observed
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield both counters."""
        observed = CounterMetricFamily(
            "tigr_observed_seconds", "Time during which the state was known, up or down.", labels=_HOST
        )
        down = CounterMetricFamily(
            "tigr_down_seconds", "Observed time during which the endpoint was down.", labels=_HOST
        )
        now = self._clock.now()
        for host, times in self._observed.items():
            seconds, seconds_down = times.totals(now)
            observed.add_metric(host, seconds)
            down.add_metric(host, seconds_down)
        yield observed
        yield down


def _unlabelled(value: float | None) -> Reading:
    return () if value is None else (((), value),)


def _host(url: str) -> str:
    return urlsplit(url).netloc
