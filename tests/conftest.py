"""Settings for every test: with NO_SKIP=1 a skipped test fails, and hypothesis has no deadline on busy machines."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Generator

import hypothesis
import pytest

# Not named TIGR_…: the monitor rejects unknown variables with that prefix.
NO_SKIP = os.environ.get("NO_SKIP") == "1"

slowness = [hypothesis.HealthCheck.too_slow]  # compares the time that it takes to generate examples with a second
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=slowness)
hypothesis.settings.load_profile("unhurried")

# A shell ignores SIGINT in the commands that it runs in the background, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"NO_SKIP=1: {why}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs("promtool")` if that program is not installed; the reason contains its name."""
    programs = [program for marker in item.iter_markers("needs") for program in marker.args]
    if missing := [program for program in programs if not shutil.which(program)]:
        pytest.skip(f"not installed: {', '.join(missing)}")


def pytest_configure() -> None:
    """End the measurements of coverage that begin with a worker of xdist: pytest-cov begins the one that counts later.

    They begin because a worker is a subprocess, and because pytest-cov does not yet know that it is a worker. A test
    that is marked `no_cover` ends only the last one, and coverage continues the one before.
    """
    coverage = sys.modules.get("coverage")
    while coverage and os.environ.get("PYTEST_XDIST_WORKER") and (running := coverage.Coverage.current()):
        running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Start no measurement in the subprocesses of a test that is marked `no_cover`."""
    config = os.environ.pop("COVERAGE_PROCESS_CONFIG", None) if item.get_closest_marker("no_cover") else None
    try:
        return (yield)
    finally:
        if config is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = config


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one if NO_SKIP is set."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped file into a failed one if NO_SKIP is set."""
    report = yield
    _fail_if_skipped(report)
    return report
