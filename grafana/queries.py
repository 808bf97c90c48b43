"""What the dashboard asks of Prometheus: every metric and recorded series it uses is named here.

Several monitors may watch the same environment. Except in the row about the monitors themselves, the worst that any of
the selected ones says is shown, under the environment's name alone.
"""

from __future__ import annotations

from grafana.style import reason_code
from monitor.model import Endpoint, Reason

OBJECTIVE = 0.995  # of the time, over 30 days
FAST_BURN, SLOW_BURN = 14.4, 6.0
# Seconds, about 3,170 years: drawn for +Inf, which a graph cannot draw. The panel maps the exact value, because Grafana
# compares the `to` of a range as a number: a range whose `to` is null matches no positive value.
STOPPED = 10**11

# Recorded by the rules in prometheus/rules.
AVAILABILITY = "tigr:availability:30d"
BUDGET = "tigr:error_budget_remaining:30d"
BURN = {"1h": "tigr:burn_rate:1h", "5m": "tigr:burn_rate:5m", "6h": "tigr:burn_rate:6h", "30m": "tigr:burn_rate:30m"}

FIRING = 'ALERTS{alertname=~"Tigr.*",alertstate="firing",environment=~"$environment|"}'

INSTANCE = 'instance=~"$instance"'
_SELECTED = f'environment=~"$environment",{INSTANCE}'


def series(metric: str, endpoint: Endpoint | None = None, **labels: str) -> str:
    """A metric of the selected environments and monitors."""
    chosen = ({"endpoint": endpoint.value} if endpoint else {}) | labels
    matchers = ",".join([_SELECTED, *(f'{name}="{value}"' for name, value in chosen.items())])
    return f"{metric}{{{matchers}}}"


def lowest(metric: str, endpoint: Endpoint | None = None) -> str:
    """Of each environment, the lowest that a monitor says."""
    return f"min by (environment) ({series(metric, endpoint)})"


def highest(metric: str, endpoint: Endpoint | None = None) -> str:
    """Of each environment, the highest that a monitor says."""
    return f"max by (environment) ({series(metric, endpoint)})"


def worst(metric: str) -> str:
    """Of each environment, what is farthest from zero."""
    return f"{highest(metric)} > -({lowest(metric)}) or {lowest(metric)}"


def state(endpoint: Endpoint) -> str:
    """The reason of the newest failure as its code, 0 while all is well, nothing before the first attempt."""
    codes = (f"{reason_code(reason)} * {series('tigr_failure', endpoint, reason=reason.value)}" for reason in Reason)
    attempted = f"and on (environment, endpoint, instance) {series('tigr_up', endpoint)}"
    return f"max by (environment) (({' or '.join(codes)}) {attempted})"


def quantile(share: float, endpoint: Endpoint, window: str) -> str:
    """Of the requests that did their job, the time within which that share of them did."""
    buckets = series("tigr_request_duration_seconds_bucket", endpoint)
    return f"histogram_quantile({share}, sum by (environment, le) (rate({buckets}[{window}])))"


def per_bucket(endpoint: Endpoint) -> str:
    """How many requests fell into each bucket, of all selected environments together."""
    return f"sum by (le) (increase({series('tigr_request_duration_seconds_bucket', endpoint)}[$__rate_interval]))"


def phases(endpoint: Endpoint) -> str:
    """The phases of the newest request."""
    return f"max by (phase) ({series('tigr_request_phase_seconds', endpoint)})"


def counted(metric: str, by: str, endpoint: Endpoint | None = None) -> str:
    """How much a counter grew in each interval that is drawn."""
    return f"sum by ({by}) (increase({series(metric, endpoint)}[$__rate_interval]))"


def firing() -> str:
    """Every alert that fires; a row that says so when none does."""
    none = 'label_replace(vector(0), "alertname", "none: all is quiet", "", "")'
    return f"max by (severity, alertname, environment) ({FIRING}) or on () {none}"


def api_host() -> str:
    """0: the Client API's host does not answer; 1: it does; 2: it answers 200 without a token."""
    return (
        f"max by (environment) (clamp_max({series('tigr_api_reachable')} + 2 * {series('tigr_api_open')}, 2))"
        f" or {lowest('tigr_api_reachable')}"
    )


def until(metric: str, endpoint: Endpoint) -> str:
    """Seconds from now to the nearest of these timestamps."""
    return f"{lowest(metric, endpoint)} - time()"


def backoff(endpoint: Endpoint) -> str:
    """Return the seconds until the next attempt is allowed, `STOPPED` when none is planned."""
    return f"clamp_max({highest('tigr_backoff_seconds', endpoint)}, {STOPPED})"


def turns_behind(endpoint: Endpoint) -> str:
    """How many intervals ago the newest turn began."""
    return (
        f"max by (environment) ((time() - {series('tigr_last_attempt_timestamp_seconds', endpoint)})"
        f" / {series('tigr_interval_seconds', endpoint)})"
    )


def monitor(metric: str) -> str:
    """A metric of the monitor's process, or one that Prometheus keeps about its scrapes."""
    return f"max by (instance) ({metric}{{{INSTANCE}}})"
