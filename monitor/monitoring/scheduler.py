"""Job scheduling: APScheduler driven by the monotonic clock instead of the wall clock.

APScheduler 3 decides by the wall clock. Here the runs of a job lie on a grid of the monotonic clock. Before the
scheduler checks its jobs, each next run time is converted to the current wall clock. So a step of the wall clock moves
no run, causes no burst of missed runs, and keeps the distance between jobs. Missed runs are counted here, because
events of APScheduler do not report all of them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.errors import describe_exception
from monitor.log import fields
from monitor.model import Endpoint
from monitor.output.failure_period import MIN_QUIET, FailurePeriod
from monitor.threads import Workers

MAX_WAIT = 1.0  # seconds between two checks of the jobs: the time to notice a stepped clock or the end of a suspend
START_RETRY_INTERVAL = 5.0  # seconds after a run whose thread could not start
# Seconds in which the scheduler has to check the jobs after a suspend. During that time no job is reported as stalled,
# because the thread of the web server may run first.
_RESUME_TIMEOUT = 10.0
_FAR = 86400.0  # seconds until the next run time of a job that is running
_TOLERANCE = 0.001  # seconds: a next run time with a smaller difference is not updated, which saves most updates
# Intervals without a skipped run after which runs start in time again: runs that take slightly longer than the interval
# cause one skipped run in several.
_QUIET_INTERVALS = 10
_log = logging.getLogger(__name__)


class RunObserver(Protocol):
    """Receives the delay of each started run, and the number of missed runs."""

    def run_started(self, environment: str, endpoint: Endpoint, delay: float) -> None: ...
    def runs_missed(self, environment: str, endpoint: Endpoint, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one environment."""

    environment: str
    name: str
    endpoint: Endpoint | None  # the endpoint of its schedule metrics; None: the job is no probe
    interval: float  # seconds between scheduled runs
    timeout: float  # of one exchange, in seconds
    run: Callable[[], None]
    extra_run: Callable[[], float | None]  # time of an additional run on the monotonic clock; None: none is due
    not_started: Callable[[Exception], None] = lambda _: None  # called for a run whose thread cannot start; fast

    @property
    def key(self) -> str:
        """The name of the job, also in the log."""
        return f"{self.environment} {self.name}"


class _JobSchedule:
    """The schedule of one job: its next run, the run in progress and the time of its last progress."""

    def __init__(self, job: Job, first: float, clock: Clock, observer: RunObserver) -> None:
        self.job = job
        self._slot = first  # time of the next scheduled run
        self._clock = clock
        self._observer = observer
        self._running = False
        self._progress = clock.now()
        self._checked = self._progress
        self._missed_check = float("nan")  # time of the last check when the next one was first seen to be missing
        self._missed_since = 0.0  # time when that was seen
        self._planned = first  # time of the next run, scheduled or additional
        self._earliest = -math.inf  # no run before this time
        self.wall_time: float | None = None  # next run time that APScheduler has, in Unix seconds; None: unknown
        self._skipping = FailurePeriod(max(MIN_QUIET, _QUIET_INTERVALS * job.interval), clock.now)
        self.computing = FailurePeriod(now=clock.now)  # of the next run time
        self.running = FailurePeriod(now=clock.now)  # of runs that end with an internal error

    @property
    def planned(self) -> float:
        """Time of the next run, scheduled or additional; of the current one while the job is running."""
        return self._planned

    def due(self, now: float) -> float:
        """Return the time of the next run on the monotonic clock, after counting missed runs."""
        checked = self._checked
        if now - checked > 2 * MAX_WAIT:  # the machine was suspended, so no job could make progress
            self._progress = now
        self._checked = now  # after the progress, because `stalled_for` reads both in another thread
        if now - self._slot > self.job.interval / 2:  # skip to the next slot of the job, or all jobs would run at once
            self._skip_missed(now)
        if self._running:
            return now + _FAR
        extra = self.job.extra_run()
        # A time before the last check was not due at that check, so its delay is measured from there.
        self._planned = max(self._slot if extra is None else min(self._slot, max(extra, checked)), self._earliest)
        return self._planned

    def begin(self) -> None:
        """Record the start of a run."""
        now = self._clock.now()
        if now >= self._slot and not self._leave_slot(now) and (skipped := self._skipping.succeeded()):
            _log.info("%s: runs start in time again", self.job.key, extra=fields(skipped=skipped))
        self._running, self._progress, self.wall_time = True, now, None
        if self.job.endpoint is not None:
            self._observer.run_started(self.job.environment, self.job.endpoint, max(0.0, now - self._planned))

    def not_started(self, error: Exception) -> None:
        """Record that the thread of a run could not start. The next run is a scheduled one, or an additional one later.

        That counts as progress, so that the watchdog does not end a process that reports its state.
        """
        now = self._clock.now()
        if now >= self._slot:
            self._leave_slot(now)
        self._earliest, self._progress, self.wall_time = now + START_RETRY_INTERVAL, now, None
        self.job.not_started(error)

    def end(self) -> None:
        """Record the end of the run."""
        self._running, self._progress = False, self._clock.now()

    def stalled_for(self, now: float) -> float | None:
        """Return the seconds without progress if they exceed the limit, else None."""
        if self._is_resuming(now):
            return None
        idle = now - self._progress
        return idle if idle > 3 * self.job.interval + 3 * self.job.timeout + 5 else None

    def _is_resuming(self, now: float) -> bool:
        """Return whether the scheduler may not have checked this job yet after a suspend of the machine or process."""
        checked = self._checked
        if now - checked <= 2 * MAX_WAIT:
            return False
        if self._missed_check != checked:
            self._missed_check, self._missed_since = checked, now
        return now - self._missed_since < _RESUME_TIMEOUT

    def _leave_slot(self, now: float) -> bool:
        """Go on to the next slot; return whether runs were skipped: on a busy machine a thread starts slots late."""
        self._slot += self.job.interval
        if skips := now >= self._slot:
            self._skip_missed(now)
        return skips

    def _skip_missed(self, now: float) -> None:
        following = self._next_slot(now)
        count = round((following - self._slot) / self.job.interval)
        self._slot = following
        if self.job.endpoint is not None:
            self._observer.runs_missed(self.job.environment, self.job.endpoint, count)
        if self._skipping.failed(count=count):
            runs = "run" if count == 1 else "runs"
            _log.warning("%s: %d scheduled %s skipped; a line with the total follows", self.job.key, count, runs)

    def _next_slot(self, now: float) -> float:
        return self._slot + (math.floor((now - self._slot) / self.job.interval) + 1) * self.job.interval


class _PlaceholderTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Returns placeholder times: the scheduler replaces each of them before it checks the jobs."""

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """Return a time in the far future, which is replaced before it is reached."""
        return datetime.fromtimestamp(now.timestamp() + _FAR, UTC)


class _ThreadPerRun(BaseExecutor):  # type: ignore[misc]
    """Runs each run in its own daemon thread, so that a hanging run blocks neither other runs nor the exit."""

    def __init__(self, schedules: dict[str, _JobSchedule]) -> None:
        super().__init__()
        self._schedules = schedules
        self._workers = Workers()

    def submit_job(self, job: ScheduledJob, run_times: list[datetime]) -> None:
        """Start a run. If its thread cannot start, report that to the job."""
        try:
            super().submit_job(job, run_times)
        except (RuntimeError, MemoryError) as error:
            if (schedule := self._schedules.get(job.id)) is not None:
                schedule.not_started(error)

    def _do_submit_job(self, job: ScheduledJob, _run_times: list[datetime]) -> None:
        self._workers.start(functools.partial(self._run, job))

    def _run(self, job: ScheduledJob) -> None:
        schedule = self._schedules.get(job.id)
        period = schedule.running if schedule is not None else FailurePeriod()
        try:
            job.func()
        except Exception as error:  # noqa: BLE001 - the traceback of a thread would print the text of the exception
            if period.failed(fault := describe_exception(error)):
                _log.error("%s: run failed with an internal error", job.id, extra=fields(fault=fault))
        else:
            if failures := period.succeeded():
                _log.info("%s: runs end without an internal error again", job.id, extra=fields(failed=failures))
        finally:
            self._run_job_success(job.id, [])
            self._scheduler.wakeup()


class _MonotonicScheduler(BackgroundScheduler):  # type: ignore[misc]
    """Converts the next run time of each job to the wall clock before it checks the jobs."""

    def __init__(self, schedules: dict[str, _JobSchedule], clock: Clock) -> None:
        super().__init__(
            timezone=UTC,
            executors={"default": _ThreadPerRun(schedules)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._schedules = schedules
        self._clock = clock

    def _process_jobs(self) -> float:
        with self._jobstores_lock:
            store = self._jobstores["default"]
            now, wall = self._clock.now(), self._clock.wall()
            for job in store.get_all_jobs():
                schedule = self._schedules.get(job.id)
                if schedule is None:
                    continue
                try:
                    due = schedule.due(now)
                except Exception as error:  # noqa: BLE001 - it would end the scheduler's thread
                    if schedule.computing.failed(fault := describe_exception(error)):
                        _log.error("%s: cannot compute the next run time", job.id, extra=fields(fault=fault))
                    continue
                if failures := schedule.computing.succeeded():
                    _log.info("%s: the next run time is known again", job.id, extra=fields(failed=failures))
                moment = wall + due - now
                if schedule.wall_time is not None and abs(moment - schedule.wall_time) < _TOLERANCE:
                    continue
                schedule.wall_time = moment
                # `modify` would wake the scheduler, which is running this method.
                job._modify(next_run_time=datetime.fromtimestamp(moment, UTC))  # noqa: SLF001
                store.update_job(job)
        wait = super()._process_jobs()
        return MAX_WAIT if wait is None else min(wait, MAX_WAIT)


class Scheduler:
    """Runs the jobs of all environments between `start` and `stop`."""

    def __init__(self, observer: RunObserver, clock: Clock = SYSTEM_CLOCK) -> None:
        self._observer = observer
        self._clock = clock
        self._schedules: dict[str, _JobSchedule] = {}
        self._scheduler = _MonotonicScheduler(self._schedules, clock)

    def start(self) -> None:
        """Start the scheduler."""
        self._scheduler.start()

    def stop(self) -> None:
        """Start no further run. Runs in progress are not waited for."""
        self._scheduler.shutdown(wait=False)

    def put(self, job: Job, delay: float) -> None:
        """Add `job`, or replace the job with the same key. Its first run starts in `delay` seconds."""
        schedule = _JobSchedule(job, self._clock.now() + delay, self._clock, self._observer)

        def run() -> None:
            schedule.begin()
            try:
                job.run()
            finally:
                schedule.end()

        self._schedules[job.key] = schedule
        self._scheduler.add_job(
            run, _PlaceholderTrigger(), id=job.key, replace_existing=True, next_run_time=datetime.now(UTC)
        )

    def remove(self, environment: str) -> None:
        """Remove the jobs of `environment`."""
        for job in [schedule.job for schedule in self._schedules.values() if schedule.job.environment == environment]:
            self.remove_job(environment, job.name)

    def remove_job(self, environment: str, name: str) -> None:
        """Remove one job of `environment`, if it exists."""
        key = f"{environment} {name}"
        if self._schedules.pop(key, None) is not None:
            with contextlib.suppress(JobLookupError):  # the scheduler has stopped
                self._scheduler.remove_job(key)

    def next_run(self, environment: str, name: str) -> float | None:
        """Return the time of the next run of a job on the monotonic clock; None if there is no such job.

        It is in the past while the job is running.
        """
        schedule = self._schedules.get(f"{environment} {name}")
        return None if schedule is None else schedule.planned

    def wake(self) -> None:
        """Check the jobs now, because an additional run may be due."""
        self._scheduler.wakeup()

    def stalled(self) -> list[str]:
        """Return one text per job that has made no progress for too long."""
        now = self._clock.now()
        stalls = [(schedule.job, schedule.stalled_for(now)) for schedule in list(self._schedules.values())]
        return [
            f"the {job.name} job of {job.environment} has made no progress for {seconds:.0f} s"
            for job, seconds in stalls
            if seconds is not None
        ]
