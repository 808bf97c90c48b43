"""Whose turn it is: APScheduler, made to keep time by a clock that nobody steps.

APScheduler 3 decides by the wall clock. Here every job's turns lie on a grid of the monotonic clock, and before the
scheduler looks at its jobs each next run time is laid anew on the wall clock as it stands at that moment. So a step
of the wall clock moves nothing, no missed slots are walked through, and turns stay spread as they were laid out. What
did not happen is counted here, because the scheduler's own events miss some of it.
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
from monitor.threads import Workers

LONGEST_WAIT = 1.0  # seconds the scheduler sleeps at most: how soon a stepped or woken clock is noticed
_FAR = 86400.0  # seconds: where a job waits while its turn is under way
_AS_GOOD = 0.001  # seconds: a job that lies so near to its place is left there, which is what most of them do
_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Who is told about turns."""

    def run_started(self, environment: str, endpoint: Endpoint, delay: float) -> None: ...
    def runs_missed(self, environment: str, endpoint: Endpoint, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one environment."""

    environment: str
    name: str
    endpoint: Endpoint | None  # whose schedule metrics it sets; None: it is no probe
    interval: float  # seconds between regular turns
    timeout: float  # seconds one exchange may take
    run: Callable[[], None]
    wants: Callable[[], float | None]  # when it would like an extra turn: a moment of the monotonic clock

    @property
    def key(self) -> str:
        """What the job is called, in the log too."""
        return f"{self.environment} {self.name}"


class _Turns:
    """The turns of one job: the next one, the one that is under way, and the last progress."""

    def __init__(self, job: Job, first: float, clock: Clock, observer: Observer) -> None:
        self.job = job
        self._slot = first  # the next regular turn
        self._clock = clock
        self._observer = observer
        self._running = False
        self._progress = clock.now()
        self._looked = self._progress
        self._planned = first  # when the next turn is due
        self.laid: float | None = None  # where it lies on the wall clock, in Unix seconds; None: nobody knows

    def due(self, now: float) -> float:
        """When the job should run next, after counting what can no longer be."""
        looked, self._looked = self._looked, now
        if now - looked > 2 * LONGEST_WAIT:  # the machine slept: nobody could make progress
            self._progress = now
        if now - self._slot > self.job.interval / 2:  # back to the job's own slot, or all would run at once
            self._miss(now)
        if self._running:
            return now + _FAR
        wanted = self.job.wants()
        # A moment that had passed at the look before was not due then: it counts from that look.
        self._planned = self._slot if wanted is None else min(self._slot, max(wanted, looked))
        return self._planned

    def begin(self) -> None:
        """Note that a turn begins."""
        now = self._clock.now()
        if now >= self._slot:
            self._slot = self._next_slot(now)
        self._running, self._progress, self.laid = True, now, None
        if self.job.endpoint is not None:
            self._observer.run_started(self.job.environment, self.job.endpoint, max(0.0, now - self._planned))

    def end(self) -> None:
        """Note that the turn has ended."""
        self._running, self._progress = False, self._clock.now()

    def stalled_for(self, now: float) -> float | None:
        """Seconds without progress, if they are too many; None while all is well."""
        still = now - self._progress
        return still if still > 3 * self.job.interval + 3 * self.job.timeout + 5 else None

    def _miss(self, now: float) -> None:
        following = self._next_slot(now)
        count = round((following - self._slot) / self.job.interval)
        self._slot = following
        if self.job.endpoint is not None:
            self._observer.runs_missed(self.job.environment, self.job.endpoint, count)
        _log.warning("%s: %d %s missed", self.job.key, count, "turn" if count == 1 else "turns")

    def _next_slot(self, now: float) -> float:
        return self._slot + (math.floor((now - self._slot) / self.job.interval) + 1) * self.job.interval


class _WhenDue(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 is untyped
    """Leaves every decision to the turns: the scheduler lays them on the wall clock before it looks."""

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """Return a time that is replaced before it comes."""
        return datetime.fromtimestamp(now.timestamp() + _FAR, UTC)


class _ThreadPerTurn(BaseExecutor):  # type: ignore[misc]
    """Runs each turn in a daemon thread of its own: one that hangs neither starves another nor holds up the exit."""

    def __init__(self) -> None:
        super().__init__()
        self._workers = Workers()

    def _do_submit_job(self, job: ScheduledJob, _run_times: list[datetime]) -> None:
        self._workers.start(functools.partial(self._run, job))

    def _run(self, job: ScheduledJob) -> None:
        try:
            job.func()
        except Exception as error:  # noqa: BLE001 - what a thread lets through is printed with its text
            _log.error("%s: a turn failed", job.id, extra=fields(fault=describe_exception(error)))
        finally:
            self._run_job_success(job.id, [])
            self._scheduler.wakeup()


class _MonotonicScheduler(BackgroundScheduler):  # type: ignore[misc]
    def __init__(self, turns: dict[str, _Turns], clock: Clock) -> None:
        super().__init__(
            timezone=UTC,
            executors={"default": _ThreadPerTurn()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._turns = turns
        self._clock = clock

    def _process_jobs(self) -> float:
        with self._jobstores_lock:
            store = self._jobstores["default"]
            now, wall = self._clock.now(), self._clock.wall()
            for job in store.get_all_jobs():
                turns = self._turns.get(job.id)
                if turns is None:
                    continue
                try:
                    due = turns.due(now)
                except Exception as error:  # noqa: BLE001 - it would end the one thread that all jobs depend on
                    _log.error("%s: its turn cannot be told", job.id, extra=fields(fault=describe_exception(error)))
                    continue
                moment = wall + due - now
                if turns.laid is not None and abs(moment - turns.laid) < _AS_GOOD:
                    continue
                turns.laid = moment
                # As the scheduler itself does it; `modify` would wake the scheduler, which is us.
                job._modify(next_run_time=datetime.fromtimestamp(moment, UTC))  # noqa: SLF001
                store.update_job(job)
        wait = super()._process_jobs()
        return LONGEST_WAIT if wait is None else min(wait, LONGEST_WAIT)


class Schedule:
    """The jobs of all environments, from `start` to `stop`."""

    def __init__(self, observer: Observer, clock: Clock = SYSTEM_CLOCK) -> None:
        self._observer = observer
        self._clock = clock
        self._turns: dict[str, _Turns] = {}
        self._scheduler = _MonotonicScheduler(self._turns, clock)

    def start(self) -> None:
        """Let the turns come."""
        self._scheduler.start()

    def stop(self) -> None:
        """Let no further turn begin; those under way are not waited for."""
        self._scheduler.shutdown(wait=False)

    def put(self, job: Job, delay: float) -> None:
        """Add `job`, or replace the one of the same key; its first turn comes in `delay` seconds."""
        turns = _Turns(job, self._clock.now() + delay, self._clock, self._observer)

        def turn() -> None:
            turns.begin()
            try:
                job.run()
            finally:
                turns.end()

        self._turns[job.key] = turns
        self._scheduler.add_job(turn, _WhenDue(), id=job.key, replace_existing=True, next_run_time=datetime.now(UTC))

    def remove(self, environment: str) -> None:
        """Take the jobs of `environment` away."""
        for job in [turns.job for turns in self._turns.values() if turns.job.environment == environment]:
            self.remove_job(environment, job.name)

    def remove_job(self, environment: str, name: str) -> None:
        """Take one job of `environment` away, if it is there."""
        key = f"{environment} {name}"
        if self._turns.pop(key, None) is not None:
            with contextlib.suppress(JobLookupError):  # the schedule has stopped
                self._scheduler.remove_job(key)

    def wake(self) -> None:
        """Look at the jobs now: one of them may want an extra turn."""
        self._scheduler.wakeup()

    def stalled(self) -> list[str]:
        """Say which jobs have made no progress for too long, in words; empty while all is well."""
        now = self._clock.now()
        standstills = [(turns.job, turns.stalled_for(now)) for turns in list(self._turns.values())]
        return [
            f"the {job.name} job of {job.environment} has made no progress for {seconds:.0f} s"
            for job, seconds in standstills
            if seconds is not None
        ]
