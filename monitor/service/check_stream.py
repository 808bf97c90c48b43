"""Checks in a thread of their own, so that the events can be read while the check runs."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from monitor.reporting.check_events import CheckError, CheckEvent
from monitor.service.check import CheckedEnvironment, CheckOptions, run_check
from monitor.service.check_observer import Emit

# Seconds between the end of a check and the begin of the next one: each sends pings, and a command may be in a loop.
_PAUSE = 1.0


class CheckInProgressError(CheckError):
    """Another check of the same monitor is in progress."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Environment = TypeVar("Environment", bound=_Named)


def chosen(names: Sequence[str], environments: Sequence[Environment]) -> list[Environment]:
    """Return the environments with these names, all if there are no names. Raises `CheckError` for an unknown name."""
    known = [each.name for each in environments]
    if unknown := [name for name in names if name not in known]:
        raise CheckError(f"unknown environment {', '.join(unknown)}; the environments are {', '.join(known)}")
    return [each for each in environments if not names or each.name in names]


class MonitoredChecks:
    """Checks of the environments that the daemon monitors, one at a time, with a pause between two. Thread-safe."""

    def __init__(self, environments: Callable[[], Sequence[CheckedEnvironment]]) -> None:
        self._environments = environments
        self._running = threading.Lock()
        self._ended = float("-inf")  # monotonic time of the end of the last check

    def start(self, names: Sequence[str], options: CheckOptions) -> Iterator[CheckEvent]:
        """Start a check and return its events.

        Raises `CheckError` if a name is unknown, and `CheckInProgressError` if another check runs. A check whose events
        are no longer read runs to its end, so that none of its logins lacks a consequence.
        """
        environments = chosen(names, self._environments())
        if not self._running.acquire(blocking=False):
            raise CheckInProgressError("another check is in progress; repeat this one when it has ended")
        return events_of(functools.partial(self._run, environments, options), self._running.release)

    def _run(self, environments: Sequence[CheckedEnvironment], options: CheckOptions, emit: Emit) -> None:
        time.sleep(max(0.0, self._ended + _PAUSE - time.monotonic()))
        try:
            run_check(environments, options, emit)
        finally:
            self._ended = time.monotonic()


def events_of(check: Callable[[Emit], None], on_end: Callable[[], None] = lambda: None) -> Iterator[CheckEvent]:
    """Start `check` in a thread and return its events as they come, then call `on_end`.

    The iterator raises the exception that ended the check, if there is one. Raises `RuntimeError` if the system cannot
    start a thread.
    """
    events: queue.SimpleQueue[CheckEvent | Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            check(events.put)
        except Exception as error:  # noqa: BLE001 - raised where the events are read
            events.put(error)
        finally:
            on_end()
            events.put(None)

    try:
        threading.Thread(target=run, name="check", daemon=True).start()
    except RuntimeError:  # the system cannot start a thread
        on_end()
        raise
    return _until_end(events)


def _until_end(events: queue.SimpleQueue[CheckEvent | Exception | None]) -> Iterator[CheckEvent]:
    while (event := events.get()) is not None:
        if isinstance(event, Exception):
            raise event
        yield event
