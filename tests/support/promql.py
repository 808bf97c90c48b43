"""Check of PromQL expressions against the exported metrics, for the rules and the dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from monitor.model import Endpoint, LoginCause, Phase, Reason
from monitor.simulator import Simulator
from tests.support.harness import EnvironmentHarness, series
from tests.support.results import make_result

OF_TARGETS = {"instance", "job"}  # labels that Prometheus adds to each scraped series
_OF_PROMETHEUS: Mapping[str, set[str]] = {
    "up": set(),
    "scrape_duration_seconds": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "environment", "endpoint"},
}
_OF_RECORDED = {"environment", "endpoint", "severity"}
CLOSED: Mapping[str, set[str]] = {
    "endpoint": set(Endpoint),
    "reason": set(Reason),
    "phase": set(Phase),
    "cause": set(LoginCause),
    "outcome": {"success", *Reason},
    "alertstate": {"pending", "firing"},
    "severity": {"critical", "warning"},
    "job": {"tigr-monitor"},
}
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NO_METRICS = {"and", "or", "unless", "bool", "offset"}


def exported() -> dict[str, set[str]]:
    """Return the names and labels of all metrics of a monitor that has logged in and pinged, and then failed."""
    with Simulator() as simulator:
        harness = EnvironmentHarness(simulator)
        assert harness.run(Endpoint.TOKEN).success
        assert harness.run(Endpoint.PING).success
        harness.metrics.record(make_result(Endpoint.PING, reason=Reason.TIMEOUT))  # the start of an outage
        harness.metrics.run_started("prod", Endpoint.PING, 0.0)
        harness.metrics.reloaded(1.0)
        metrics: dict[str, set[str]] = {}
        for text in series(harness.exposition(), ""):
            name, _, labels = text.partition("{")
            metrics.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
        return metrics


def selectors(expr: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each metric of an expression that has matchers, with them: label, operator, value."""
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expr):
        yield name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)


def names(expr: str) -> set[str]:
    """Return every metric of an expression, with or without matchers."""
    rest = re.sub(r'\{[^}]*\}|"[^"]*"|\[[^\]]*\]', "", _GROUPING.sub("", expr))
    return set(re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", rest)) - _NO_METRICS


def grouped(expr: str) -> set[str]:
    """Return every label by which an expression groups or matches series."""
    return {label.strip() for group in _GROUPING.findall(expr) for label in group.split(",")} - {""}


def labels(name: str, exported: Mapping[str, set[str]]) -> set[str]:
    """Return the labels of a metric; fail if it does not exist."""
    if name in exported:
        return exported[name] | OF_TARGETS
    if f"{name}_bucket" in exported:  # as a native histogram, which Prometheus 3 can create
        return exported[f"{name}_bucket"] - {"le"} | OF_TARGETS
    if name in _OF_PROMETHEUS:
        return _OF_PROMETHEUS[name] | OF_TARGETS
    assert ":" in name, f"{name} is not exported"
    return _OF_RECORDED | OF_TARGETS


def check_labels(expr: str, exported: Mapping[str, set[str]]) -> None:
    """Fail if a metric or a label is not exported."""
    known = {name: labels(name, exported) for name in names(expr)}
    for name, matchers in selectors(expr):
        assert {label for label, _, _ in matchers} <= known[name], name
    assert grouped(expr) <= set().union(*known.values())


def check_values(expr: str) -> None:
    """Fail if a matcher names a reason, phase, cause or endpoint that does not exist in the code."""
    for _, matchers in selectors(expr):
        for label, operator, value in matchers:
            assert operator != "=" or value in CLOSED[label], f"{label}={value}"
