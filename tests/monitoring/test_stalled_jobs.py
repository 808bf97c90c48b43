"""Stalled jobs, as /-/healthy and the watchdog see them, around a suspend of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from monitor.clock import Clock
from monitor.model import Endpoint
from monitor.monitoring.scheduler import Job, Scheduler
from tests.support.process import PATIENCE

INTERVAL, TIMEOUT = 1.0, 1.0
LIMIT = 3 * INTERVAL + 3 * TIMEOUT + 5  # seconds without progress


class Observer:
    """Ignores the runs."""

    def run_started(self, environment: str, endpoint: Endpoint, delay: float) -> None: ...
    def runs_missed(self, environment: str, endpoint: Endpoint, count: int) -> None: ...


class SuspendableClock:
    """The monotonic clock and the time for which the process was suspended."""

    def __init__(self) -> None:
        self.suspended = 0.0
        self.clock = Clock(now=lambda: time.monotonic() + self.suspended, wall=time.time)


@pytest.fixture
def clock() -> SuspendableClock:
    """Return a clock without a suspend."""
    return SuspendableClock()


@pytest.fixture
def start(clock: SuspendableClock) -> Iterator[Callable[..., Scheduler]]:
    """Yield a function that starts a scheduler with one job."""
    schedulers = []

    def start(run: Callable[[], None], extra: Callable[[], float | None] = lambda: None) -> Scheduler:
        scheduler = Scheduler(Observer(), clock.clock)
        scheduler.put(Job("prod", "ping", Endpoint.PING, INTERVAL, TIMEOUT, run, extra), 0.0)
        scheduler.start()
        schedulers.append(scheduler)
        return scheduler

    yield start
    for scheduler in schedulers:
        scheduler.stop()


def test_no_job_is_stalled_right_after_a_resume(clock: SuspendableClock, start: Callable[..., Scheduler]) -> None:
    """The first scrape may come before the scheduler has noticed the suspend of two minutes."""
    ran = threading.Event()
    scheduler = start(ran.set)
    for _ in range(3):
        ran.clear()
        assert ran.wait(PATIENCE)
        clock.suspended += 120
        assert scheduler.stalled() == []
    ran.clear()
    assert ran.wait(PATIENCE)
    assert scheduler.stalled() == []


def test_a_job_that_hangs_is_found_also_after_a_resume(
    clock: SuspendableClock, start: Callable[..., Scheduler]
) -> None:
    """A suspend starts the limit again, and no later one hides the job for longer than its limit."""
    hanging, end = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        end.wait()

    scheduler = start(hang)
    checked = threading.Event()
    scheduler.put(Job("uat", "ping", None, 600.0, TIMEOUT, lambda: None, checked.set), 0.0)
    try:
        assert hanging.wait(PATIENCE)
        for _ in range(2):
            clock.suspended += 120
            assert scheduler.stalled() == []
            checked.clear()
            scheduler.wake()
            assert checked.wait(PATIENCE)
            assert scheduler.stalled() == []
            deadline = time.monotonic() + 60
            while not (stalled := scheduler.stalled()):
                clock.suspended += 1.5  # no suspend, because the scheduler checks its jobs in between
                checked.clear()
                scheduler.wake()
                assert checked.wait(PATIENCE)
                assert time.monotonic() < deadline
            assert [text.partition(" has")[0] for text in stalled] == ["the ping job of prod"]
    finally:
        end.set()


def test_a_scheduler_that_hangs_is_found(clock: SuspendableClock, start: Callable[..., Scheduler]) -> None:
    """If the scheduler does not check its jobs within ten seconds after a resume, they are stalled."""
    checking, end = threading.Event(), threading.Event()

    def hang() -> None:
        checking.set()
        end.wait()

    scheduler = start(lambda: None, hang)
    try:
        assert checking.wait(PATIENCE)
        clock.suspended += LIMIT + 1
        assert scheduler.stalled() == []
        clock.suspended += 11
        assert "the ping job of prod has made no progress for" in scheduler.stalled()[0]
    finally:
        end.set()
