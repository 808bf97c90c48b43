"""A run whose thread cannot start is reported, and tried again soon."""

from __future__ import annotations

import queue

import pytest

from monitor.limits import local_limit
from monitor.model import Endpoint
from monitor.monitoring import scheduler as scheduling
from monitor.monitoring.scheduler import Job, Scheduler
from tests.support.limits import no_threads
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


def test_a_run_without_a_thread_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets each error, is not stalled, and runs as soon as a thread can start."""
    monkeypatch.setattr(scheduling, "START_RETRY_INTERVAL", 0.05)
    ran, errors = queue.SimpleQueue[None](), queue.SimpleQueue[Exception]()
    observer = Observer()
    job = Job("prod", "ping", Endpoint.PING, 3600.0, 1.0, lambda: ran.put(None), lambda: 0.0, errors.put)
    scheduler = Scheduler(observer)
    scheduler.start()
    try:
        with no_threads():
            scheduler.put(job, 0.0)
            limits = [local_limit(errors.get(timeout=PATIENCE)) for _ in range(3)]
            assert ran.empty()
            assert observer.started == 0
        ran.get(timeout=PATIENCE)
    finally:
        scheduler.stop()
    assert None not in limits
    assert not scheduler.stalled()
    assert observer.missed == 0


def test_a_scheduled_run_without_a_thread_waits_for_its_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread that cannot start costs one run."""
    monkeypatch.setattr(scheduling, "START_RETRY_INTERVAL", 0.0)
    ran, errors = queue.SimpleQueue[None](), queue.SimpleQueue[Exception]()
    job = Job("prod", "ping", Endpoint.PING, 0.5, 1.0, lambda: ran.put(None), lambda: None, errors.put)
    observer = Observer()
    scheduler = Scheduler(observer)
    scheduler.start()
    try:
        with no_threads():
            scheduler.put(job, 0.0)
            errors.get(timeout=PATIENCE)
        ran.get(timeout=PATIENCE)
        wait_for(lambda: observer.started, "a run")
    finally:
        scheduler.stop()
    assert errors.qsize() <= 1
