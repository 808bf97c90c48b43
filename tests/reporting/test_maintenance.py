"""Planned maintenance while the monitor runs: the time on the monotonic clock, and the log lines."""

from __future__ import annotations

import logging

import pytest

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow, current
from monitor.reporting.maintenance import MaintenanceLog, PlannedTime

pytestmark = pytest.mark.once

START = 1_900_000_800.0  # Unix seconds, when the monotonic clock is 0
WINDOW = MaintenanceWindow(START + 100, START + 200)
NEXT = MaintenanceWindow(START + 200, START + 250)
BEGUN = "prod: planned maintenance until 2030-03-17T18:03:20Z: the SLO leaves this time out, and alerts are not sent"
ENDED = "prod: planned maintenance has ended"


class FakeClock:
    """Clocks that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ahead = START
        self.clock = Clock(now=lambda: self.now, wall=lambda: self.now + self.ahead)


@pytest.fixture
def time() -> FakeClock:
    """Return clocks at `START`."""
    return FakeClock()


@pytest.fixture
def log(time: FakeClock, caplog: pytest.LogCaptureFixture) -> MaintenanceLog:
    """Return a log of maintenance in which one window of prod is planned."""
    caplog.set_level(logging.INFO)
    made = MaintenanceLog(time.clock)
    made.use("prod", (WINDOW,))
    return made


def checked(log: MaintenanceLog, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what two checks log."""
    caplog.clear()
    log.check("prod")
    log.check("prod")
    return [record.message for record in caplog.records]


@pytest.mark.parametrize("moment, inside", [(99.9, False), (100.0, True), (199.9, True), (200.0, False)])
def test_a_window_contains_its_begin_and_not_its_end(moment: float, *, inside: bool) -> None:
    """So two windows that follow each other never overlap."""
    assert (current((WINDOW,), START + moment) == WINDOW) == inside
    assert current((WINDOW, NEXT), START + 200) == NEXT


@pytest.mark.parametrize(
    "begin, end, seconds",
    [(0, 99, 0), (0, 101, 1), (120, 130, 10), (0, 1000, 150), (199, 201, 2), (240, 300, 10), (251, 900, 0)],
)
def test_planned_time_is_measured_on_the_monotonic_clock(
    time: FakeClock, begin: float, end: float, seconds: float
) -> None:
    """Whenever it is asked."""
    planned = PlannedTime((WINDOW, NEXT), time.clock)
    for time.now in (0.0, 500.0):
        assert planned.seconds_between(begin, end) == seconds


def test_a_step_of_the_wall_clock_moves_the_window(time: FakeClock) -> None:
    """The operator planned it on the wall clock."""
    time.ahead += 50
    assert PlannedTime((WINDOW,), time.clock).seconds_between(0, 60) == 10


def test_each_begin_and_each_end_is_logged_once(
    log: MaintenanceLog, time: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The next check is due at the next begin or end."""
    assert log.next_check("prod") == 100
    assert checked(log, caplog) == []
    time.now = 100.0
    assert log.next_check("prod") == 100
    assert checked(log, caplog) == [BEGUN]
    assert log.next_check("prod") == 200
    time.now = 200.5
    assert log.next_check("prod") == 200.5
    assert checked(log, caplog) == [ENDED]
    assert log.next_check("prod") is None


def test_a_window_that_follows_at_once_has_its_own_line(
    log: MaintenanceLog, time: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the new end, and no end is logged between both."""
    log.use("prod", (WINDOW, NEXT))
    time.now = 150.0
    log.check("prod")
    time.now = 200.0
    (line,) = checked(log, caplog)
    assert line.startswith("prod: planned maintenance until 2030-03-17T18:04:10Z: ")


def test_a_window_that_a_reload_adds_or_removes_is_logged(
    log: MaintenanceLog, time: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A check is due at once."""
    time.now = 150.0
    log.check("prod")
    log.use("prod", ())
    assert log.next_check("prod") == 150
    assert checked(log, caplog) == [ENDED]
    log.use("prod", (WINDOW,))
    assert log.next_check("prod") == 150
    assert checked(log, caplog) == [BEGUN]


def test_a_step_of_the_wall_clock_into_a_window_is_logged(
    log: MaintenanceLog, time: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And a step out of it."""
    time.ahead += 150
    assert log.next_check("prod") == 0
    assert checked(log, caplog) == [BEGUN]
    time.ahead -= 150
    assert log.next_check("prod") == 0
    assert checked(log, caplog) == [ENDED]


def test_a_removed_environment_has_no_maintenance(
    log: MaintenanceLog, time: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A late check logs nothing."""
    time.now = 150.0
    log.remove("prod")
    assert log.next_check("prod") is None
    assert checked(log, caplog) == []
