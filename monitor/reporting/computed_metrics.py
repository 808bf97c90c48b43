"""Metrics that are computed at a scrape, because they depend on the time or on the current state of an environment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor import log
from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow, current
from monitor.errors import describe_exception
from monitor.log import fields
from monitor.model import Endpoint, Token
from monitor.output.failure_period import FailurePeriod
from monitor.reporting.metric_families import HOST_LABELS
from monitor.reporting.observed_time import ObservedTime

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


def register_computed(
    registry: CollectorRegistry,
    readings: Mapping[str, EnvironmentReadings],
    observed: Mapping[tuple[str, Endpoint], ObservedTime],
    maintenance: Mapping[str, tuple[MaintenanceWindow, ...]],
    clock: Clock,
) -> None:
    """Register the computed metrics. The mappings are read at each scrape."""
    registry.register(_DroppedMessages())
    registry.register(_ObservedTimeCollector(observed, clock))
    registry.register(_MaintenanceCollector(maintenance, clock))

    def at_scrape(name: str, text: str, read: Callable[[EnvironmentReadings], Reading], *labels: str) -> None:
        registry.register(_ComputedGauge(name, text, ("environment", *labels), readings, read))

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
        readings: Mapping[str, EnvironmentReadings],
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
        for environment, readings in self._readings.items():
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
            "tigr_observed_seconds", "Time during which the state was known, up or down.", labels=HOST_LABELS
        )
        down = CounterMetricFamily(
            "tigr_down_seconds", "Observed time during which the endpoint was down.", labels=HOST_LABELS
        )
        now = self._clock.now()
        for host, times in self._observed.items():
            seconds, seconds_down = times.totals(now)
            observed.add_metric(host, seconds)
            down.add_metric(host, seconds_down)
        yield observed
        yield down


class _MaintenanceCollector(Collector):
    """Whether each environment is in planned maintenance, on the wall clock."""

    def __init__(self, windows: Mapping[str, tuple[MaintenanceWindow, ...]], clock: Clock) -> None:
        self._windows = windows
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge."""
        text = "Whether the environment is in planned maintenance (1) or not (0)."
        family = GaugeMetricFamily("tigr_maintenance", text, labels=("environment",))
        wall = self._clock.wall()
        for environment, windows in self._windows.items():
            family.add_metric((environment,), float(current(windows, wall) is not None))
        yield family


def _unlabelled(value: float | None) -> Reading:
    return () if value is None else (((), value),)
