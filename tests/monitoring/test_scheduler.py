"""Runs whose thread cannot start are tried again soon; faults and skipped runs are logged once per period."""

from __future__ import annotations

import logging
import math
import queue
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.machine.limits import local_limit
from monitor.model import Endpoint
from monitor.monitoring import scheduler as scheduling
from monitor.monitoring.scheduler import Job, Scheduler
from monitor.output import failure_period
from tests.support.harness import MovableClock
from tests.support.limits import no_threads, run_alone
from tests.support.process import wait_for

PATIENCE = 15.0  # seconds


class Observer:
    """Counts started and missed runs."""

    def __init__(self) -> None:
        self.started = self.missed = 0

    def run_started(self, _environment: str, _endpoint: Endpoint, _delay: float) -> None:
        """Count a started run."""
        self.started += 1

    def runs_missed(self, _environment: str, _endpoint: Endpoint, count: int) -> None:
        """Count missed runs."""
        self.missed += count


def test_a_run_without_a_thread_is_reported_and_tried_again() -> None:
    """The job gets each error, is not stalled, and runs as soon as a thread can start."""
    run_alone(first_run_without_a_thread)


def first_run_without_a_thread() -> None:
    """Start no thread for the first three attempts of a run."""
    ran, errors = queue.SimpleQueue[None](), queue.SimpleQueue[Exception]()
    observer = Observer()
    job = Job("prod", "ping", Endpoint.PING, 3600.0, 1.0, lambda: ran.put(None), lambda: 0.0, errors.put)
    scheduler = Scheduler(observer)
    scheduler.start()
    with mock.patch.object(scheduling, "START_RETRY_INTERVAL", 0.05):
        with no_threads():
            scheduler.put(job, 0.0)
            limits = [local_limit(errors.get(timeout=PATIENCE)) for _ in range(3)]
            assert ran.empty()
            assert observer.started == 0
        ran.get(timeout=PATIENCE)
    scheduler.stop()
    assert None not in limits
    assert not scheduler.stalled()
    assert observer.missed == 0


def test_a_scheduled_run_without_a_thread_waits_for_its_next_time() -> None:
    """One thread that cannot start costs one run."""
    run_alone(scheduled_run_without_a_thread)


def scheduled_run_without_a_thread() -> None:
    """Start no thread for one run."""
    ran, errors = queue.SimpleQueue[None](), queue.SimpleQueue[Exception]()
    job = Job("prod", "ping", Endpoint.PING, 0.5, 1.0, lambda: ran.put(None), lambda: None, errors.put)
    observer = Observer()
    scheduler = Scheduler(observer)
    scheduler.start()
    with mock.patch.object(scheduling, "START_RETRY_INTERVAL", 0.0):
        with no_threads():
            scheduler.put(job, 0.0)
            errors.get(timeout=PATIENCE)
        ran.get(timeout=PATIENCE)
        wait_for(lambda: observer.started, "a run")
    scheduler.stop()
    assert errors.qsize() <= 1


SECONDS = st.floats(0.0, 40.0)


@given(runs=st.lists(st.tuples(SECONDS, SECONDS, st.booleans()), max_size=20))
def test_each_scheduled_time_is_run_or_counted_as_missed(runs: list[tuple[float, float, bool]]) -> None:
    """A thread may start late by several intervals, or not at all, and a run may take several intervals."""
    time, observer = MovableClock(), Observer()
    job = Job("prod", "ping", Endpoint.PING, 10.0, 60.0, lambda: None, lambda: None)
    first = time.clock.now()
    schedule = scheduling._JobSchedule(job, first, time.clock, observer)
    not_started = 0
    for delay, duration, starts in runs:
        time.advance(max(0.0, schedule.due(time.clock.now()) - time.clock.now()))
        time.advance(delay)
        if starts:
            schedule.begin()
            time.advance(duration)
            schedule.end()
        else:
            schedule.not_started(RuntimeError("can't start new thread"))
            not_started += 1
    schedule.due(now := time.clock.now())
    passed = math.floor((now - first) / job.interval)
    assert observer.started + not_started + observer.missed >= passed


def test_skipped_runs_are_logged_at_the_start_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Each run takes longer than its interval for a while; the last line has the total of skipped runs."""
    caplog.set_level(logging.INFO)
    time, observer = MovableClock(), Observer()
    job = Job("prod", "ping", Endpoint.PING, 10.0, 60.0, lambda: None, lambda: None)
    schedule = scheduling._JobSchedule(job, time.clock.now(), time.clock, observer)

    def run(duration: float, count: int) -> None:
        for _ in range(count):
            time.advance(max(0.0, schedule.due(time.clock.now()) - time.clock.now()))
            schedule.begin()
            for _ in range(round(duration)):  # the scheduler checks its jobs each second
                time.advance(1.0)
                schedule.due(time.clock.now())
            schedule.end()

    run(1.0, 3)
    assert caplog.messages == []
    run(35.0, 20)
    run(12.0, 30)  # skips one of several runs
    assert caplog.messages == ["prod ping: 1 scheduled run skipped; a line with the total follows"]
    skipped = observer.missed
    run(1.0, 20)
    assert caplog.messages[1:] == ["prod ping: runs start in time again"]
    assert vars(caplog.records[1])["monitor_fields"]["skipped"] == skipped == observer.missed > 60
    run(35.0, 2)
    assert len(caplog.messages) == 3


@pytest.mark.parametrize(
    "part,start,end",
    [
        ("run", "run failed with an internal error", "runs end without an internal error again"),
        ("extra_run", "cannot compute the next run time", "the next run time is known again"),
    ],
)
def test_a_fault_in_each_run_is_logged_at_the_start_and_at_the_end(
    part: str, start: str, end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler goes on."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(failure_period, "MIN_QUIET", 0.0)
    monkeypatch.setattr(scheduling, "MAX_WAIT", 0.01)
    calls = 0

    def fail_at_first() -> None:
        nonlocal calls
        calls += 1
        if calls <= 5:
            raise RuntimeError("a secret")

    parts = {"run": lambda: None, "extra_run": lambda: None} | {part: fail_at_first}
    job = Job("prod", "ping", Endpoint.PING, 0.05, 1.0, parts["run"], parts["extra_run"])
    scheduler = Scheduler(Observer())
    scheduler.put(job, 0.0)
    scheduler.start()
    try:
        wait_for(lambda: f"prod ping: {end}" in caplog.messages, "the end of the period")
    finally:
        scheduler.stop()
    lines = [message for message in caplog.messages if start in message or end in message]
    assert lines == [f"prod ping: {start}", f"prod ping: {end}"]
    assert "a secret" not in caplog.text


def test_the_next_run_of_a_job_is_known() -> None:
    """It is on the monotonic clock; an unknown job has none."""
    time = MovableClock()
    scheduler = Scheduler(Observer(), time.clock)
    job = Job("prod", "ping", Endpoint.PING, 3600.0, 1.0, lambda: None, lambda: None)
    before = time.clock.now()
    scheduler.put(job, 60.0)
    moment = scheduler.next_run("prod", "ping")
    assert moment is not None
    assert before + 60.0 <= moment <= time.clock.now() + 60.0
    assert scheduler.next_run("prod", "login") is None
