"""The PromQL queries of the dashboard, with every metric and recorded series that it uses.

Several monitors may probe the same environment. Except in the row about the monitors themselves, a panel shows the
worst value of the selected monitors, labelled with the environment only.
"""

from __future__ import annotations

from grafana.style import reason_code
from monitor.model import Endpoint, Reason

# The limits of the alerts.
OBJECTIVE = 0.995  # share of the observed time, over 30 days
FAST_BURN, SLOW_BURN, OVERSPENT = 14.4, 6.0, 1.0
LOW_HEADROOM = 0.25  # share of the lifetime of the token
FAILED_LOGINS, FAILED_PINGS = 2, 3  # in a row
SLOW = 2.0  # seconds, median
CLOCK_OFFSET = 30.0  # seconds
LATE_RUN = 5.0  # seconds
DAYS_OF_CERTIFICATE, WEEKS_OF_CERTIFICATE = 7 * 86400, 21 * 86400  # seconds until the expiry
# Seconds, about 3,170 years: drawn for +Inf, which a graph cannot draw. The panel maps the exact value, because Grafana
# compares the `to` of a range as a number: a range whose `to` is null matches no positive value.
STOPPED = 10**11

# Recorded by the rules in prometheus/rules.
AVAILABILITY = "tigr:availability:30d"
BUDGET = "tigr:error_budget_remaining:30d"
BURN = {
    "1h": "tigr:burn_rate:1h",
    "5m": "tigr:burn_rate:5m",
    "6h": "tigr:burn_rate:6h",
    "30m": "tigr:burn_rate:30m",
    "3d": "tigr:burn_rate:3d",
}

FIRING = 'ALERTS{alertname=~"Tigr.*",alertstate="firing",environment=~"$environment|",job=~"$job"}'

# The job too: other exporters on the machine of the monitor can have the same instance.
INSTANCE = 'instance=~"$instance",job=~"$job"'
_SELECTED = f'environment=~"$environment",{INSTANCE}'


def series(metric: str, endpoint: Endpoint | None = None, **labels: str) -> str:
    """Return the selector of a metric for the selected environments and monitors."""
    chosen = ({"endpoint": endpoint.value} if endpoint else {}) | labels
    matchers = ",".join([_SELECTED, *(f'{name}="{value}"' for name, value in chosen.items())])
    return f"{metric}{{{matchers}}}"


def lowest(metric: str, endpoint: Endpoint | None = None) -> str:
    """Return the lowest value of any monitor, for each environment."""
    return f"min by (environment) ({series(metric, endpoint)})"


def highest(metric: str, endpoint: Endpoint | None = None) -> str:
    """Return the highest value of any monitor, for each environment."""
    return f"max by (environment) ({series(metric, endpoint)})"


def worst(metric: str) -> str:
    """Return the value that is farthest from zero, for each environment."""
    return f"{highest(metric)} > -({lowest(metric)}) or {lowest(metric)}"


def state(endpoint: Endpoint) -> str:
    """Return the code of the current failure reason, 0 after a success, no sample before the first attempt.

    `tigr_up` would hide an internal failure: it is absent while the state of the host is unknown.
    """
    codes = (f"{reason_code(reason)} * {series('tigr_failure', endpoint, reason=reason.value)}" for reason in Reason)
    attempted = f"and on (environment, endpoint, instance) {series('tigr_last_attempt_timestamp_seconds', endpoint)}"
    return f"max by (environment) (({' or '.join(codes)}) {attempted})"


def quantile(share: float, endpoint: Endpoint, window: str) -> str:
    """Return the duration in seconds within which this share of the successful requests completed.

    Prometheus 3 can convert classic histograms to native ones, which have no series `_bucket`.
    """
    buckets = series("tigr_request_duration_seconds_bucket", endpoint)
    native = series("tigr_request_duration_seconds", endpoint)
    return (
        f"histogram_quantile({share}, sum by (environment, le) (rate({buckets}[{window}])))"
        f" or histogram_quantile({share}, sum by (environment) (rate({native}[{window}])))"
    )


def per_bucket(endpoint: Endpoint) -> str:
    """Return the number of requests in each bucket, over all selected environments."""
    classic = series("tigr_request_duration_seconds_bucket", endpoint)
    native = series("tigr_request_duration_seconds", endpoint)
    return f"sum by (le) (increase({classic}[$__rate_interval])) or on () sum(increase({native}[$__rate_interval]))"


def phases(endpoint: Endpoint) -> str:
    """Return the duration of each phase of the most recent request, in seconds."""
    return f"max by (phase) ({series('tigr_request_phase_seconds', endpoint)})"


def counted(metric: str, by: str, endpoint: Endpoint | None = None) -> str:
    """Return the increase of a counter in each interval of the graph."""
    return f"sum by ({by}) (increase({series(metric, endpoint)}[$__rate_interval]))"


def firing() -> str:
    """Return every firing alert, or one row that reports that none fires."""
    none = 'label_replace(vector(0), "alertname", "none: no alert fires", "", "")'
    return f"max by (severity, alertname, environment, endpoint, instance) ({FIRING}) or on () {none}"


def api_host() -> str:
    """Return 0 if the API host does not respond, 1 if it responds, 2 if it accepts unauthenticated requests."""
    return (
        f"max by (environment) (clamp_max({series('tigr_api_reachable')} + 2 * {series('tigr_api_open')}, 2))"
        f" or {lowest('tigr_api_reachable')}"
    )


def until_expiry(endpoint: Endpoint) -> str:
    """Return the seconds from now to the earliest expiry in the chain, or to that of the host's own certificate."""
    chain = series("tigr_certificate_chain_expiry_timestamp_seconds", endpoint)
    leaf = series("tigr_certificate_expiry_timestamp_seconds", endpoint)
    return f"min by (environment) ({chain} or {leaf}) - time()"


def backoff(endpoint: Endpoint) -> str:
    """Return the seconds until the next attempt is allowed, `STOPPED` when none is planned."""
    return f"clamp_max({highest('tigr_backoff_seconds', endpoint)}, {STOPPED})"


def age(endpoint: Endpoint) -> str:
    """Return the time since the most recent run began, as a share of the limit of the alert."""
    return (
        f"max by (environment) ((time() - {series('tigr_last_attempt_timestamp_seconds', endpoint)})"
        f" / (3 * {series('tigr_interval_seconds', endpoint)} + 60))"
    )


def token_left() -> str:
    """Return the remaining share of the lifetime of the current token."""
    headroom, lifetime = series("tigr_token_expiry_headroom_seconds"), series("tigr_token_lifetime_seconds")
    return f"min by (environment) ({headroom} / on (environment, instance) {lifetime})"


def down_for(endpoint: Endpoint) -> str:
    """Return the seconds since the first failure in a row, 0 while the host is up."""
    since = series("tigr_down_since_timestamp_seconds", endpoint)
    up = f"0 * {series('tigr_consecutive_failures', endpoint)}"
    return f"max by (environment) (time() - {since} or {up})"


def monitor(metric: str) -> str:
    """Return the selector of a metric of the monitor's process, or of one that Prometheus records about its scrapes."""
    return f"max by (instance) ({metric}{{{INSTANCE}}})"
