"""Declaration of the metrics that Results and events set: names, HELP texts and labels.

They are a public interface (docs/metrics.md).
"""

from __future__ import annotations

import platform
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from monitor import __version__
from monitor.model import Reason

# Seconds. They never change, because histograms with different buckets cannot be added up.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
OUTCOMES = ("success", *Reason)
HOST_LABELS = ("environment", "endpoint")
Kept = TypeVar("Kept", bound=MetricWrapperBase)


class MetricFamilies:
    """The declared metrics and their registry. Not thread-safe."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._of_environments: list[MetricWrapperBase] = []

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return self._keep(Gauge(name, text, labels, registry=registry))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return self._keep(Counter(name, text, labels, registry=registry))

        self.up = gauge(
            "tigr_up",
            "Whether the most recent probe succeeded (1) or failed (0); absent after an internal failure.",
            *HOST_LABELS,
        )
        self.duration = self._keep(
            Histogram(
                "tigr_request_duration_seconds",
                "Duration of successful requests, from the start of name resolution to the last byte of the body.",
                HOST_LABELS,
                buckets=BUCKETS,
                registry=registry,
            )
        )
        self.unauthorized = counter("tigr_unauthorized", "Responses with status 401.", *HOST_LABELS)
        self.requests = counter("tigr_requests", "Requests by outcome: success or a reason.", *HOST_LABELS, "outcome")
        self.failure = gauge(
            "tigr_failure", "1 for the reason of the current failure, 0 for every other reason.", *HOST_LABELS, "reason"
        )
        self.phase = gauge("tigr_request_phase_seconds", "Phases of the most recent request.", *HOST_LABELS, "phase")
        self.consecutive = gauge("tigr_consecutive_failures", "Consecutive failures; 0 after a success.", *HOST_LABELS)
        self.interval = gauge("tigr_interval_seconds", "The configured probe interval.", *HOST_LABELS)
        self.attempt = gauge("tigr_last_attempt_timestamp_seconds", "Start of the most recent probe.", *HOST_LABELS)
        self.last_success = gauge(
            "tigr_last_success_timestamp_seconds", "End of the most recent success.", *HOST_LABELS
        )
        self.down_since = gauge(
            "tigr_down_since_timestamp_seconds", "Start of the first failed probe in a row.", *HOST_LABELS
        )
        self.incidents = counter(
            "tigr_incidents",
            "Incidents that were opened: failures in a row or rejected credentials, by the first reason.",
            *HOST_LABELS,
            "reason",
        )
        self.token_rejected = counter(
            "tigr_token_rejected",
            "Pings refused with 401 although the token was the current one and had not expired by our clock.",
            "environment",
        )
        self.renewals = counter("tigr_token_renewals", "Logins attempted, by cause.", "environment", "cause")
        self.reachable = gauge(
            "tigr_api_reachable",
            "Whether the Client API host sent an HTTP response to its most recent probe (1) or not (0).",
            "environment",
        )
        self.token_host = gauge(
            "tigr_token_host_reachable",
            "Whether the most recent TLS connection to the token host (login or connection check) succeeded (1) "
            "or failed (0).",
            "environment",
        )
        self.open = gauge(
            "tigr_api_open",
            "Whether the most recent unauthenticated probe got a 200 with a well-formed pong (1) or not (0).",
            "environment",
        )
        self.certificate = gauge(
            "tigr_certificate_expiry_timestamp_seconds",
            "Expiry (notAfter) of the host's certificate, as last seen.",
            *HOST_LABELS,
        )
        self.chain = gauge(
            "tigr_certificate_chain_expiry_timestamp_seconds",
            "Earliest expiry (notAfter) in the most recent verified chain, trust anchor included.",
            *HOST_LABELS,
        )
        self.tls = gauge(
            "tigr_tls_info",
            "Protocol version of the most recent TLS handshake; the value is always 1.",
            *HOST_LABELS,
            "version",
        )
        self.offset = gauge(
            "tigr_clock_offset_seconds", "Server clock minus local clock at the middle of the request.", "environment"
        )
        self.delay = gauge("tigr_schedule_delay_seconds", "Delay of the start of the most recent run.", *HOST_LABELS)
        self.missed = counter("tigr_schedule_missed", "Scheduled probes that were skipped.", *HOST_LABELS)
        self.info = gauge(
            "tigr_environment_info",
            "Hosts of the environment and severity of its alerts; the value is always 1.",
            "environment",
            "token_host",
            "api_host",
            "severity",
        )
        self.reload_successful = Gauge(
            "tigr_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            registry=registry,
        )
        self.reload_time = Gauge(
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
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def _keep(self, metric: Kept) -> Kept:
        self._of_environments.append(metric)
        return metric

    def remove(self, environment: str) -> None:
        """Remove all series of an environment."""
        for metric in self._of_environments:
            metric.remove_by_labels({"environment": environment})
