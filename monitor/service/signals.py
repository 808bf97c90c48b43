"""Signals: the requests of an operator, and the one thread that handles those that take time."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from enum import Enum, auto

from monitor.errors import describe_exception
from monitor.log import fields

_MIN_INTERVAL = 1.0  # seconds between the starts of two tasks: requests that arrive meanwhile share the next one
_log = logging.getLogger(__name__)


class SignalRequest(Enum):
    """Requests of an operator."""

    RELOAD = auto()
    LOG_IN = auto()
    STOP = auto()


_DURING_START = {signal.SIGHUP: SignalRequest.RELOAD, signal.SIGUSR1: SignalRequest.LOG_IN}
_TO_STOP = {signal.SIGTERM: SignalRequest.STOP, signal.SIGINT: SignalRequest.STOP}


class SignalRequests:
    """Queues a request per signal. Create it in the main thread, before the settings are loaded.

    SIGHUP and SIGUSR1 are queued from then on: a change of the settings during the start is not lost. SIGTERM and
    SIGINT end the process at once until `install_stop`.

    The kernel may deliver a signal to any thread, for example if another signal is pending in the main thread. That
    interrupts no wait of the main thread, which runs the handlers. So it waits for a pipe, which gets a byte for each
    signal.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[SignalRequest] = queue.SimpleQueue()
        self._woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)  # a full pipe wakes the main thread, too
        self._install(_DURING_START)

    def install_stop(self) -> None:
        """Queue SIGTERM and SIGINT, too."""
        self._install(_TO_STOP)

    def get(self) -> SignalRequest:
        """Wait for the next request and return it. Call it in the main thread."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._queue.get_nowait()
            select.select([self._woken], [], [])
            os.read(self._woken, select.PIPE_BUF)

    def _install(self, requests: Mapping[signal.Signals, SignalRequest]) -> None:
        for number, request in requests.items():
            signal.signal(number, lambda *_, request=request: self._queue.put(request))


class RequestThread:
    """Handles requests one at a time, in the order of their arrival, in one thread.

    A task may wait for the network. In its own thread it does not delay SIGTERM. A request that waits already is not
    added again, so any number of signals causes one pending task of each request.
    """

    def __init__(self, tasks: Mapping[SignalRequest, Callable[[], object]]) -> None:
        self._tasks = tasks
        self._changed = threading.Condition()
        self._pending: dict[SignalRequest, Future[object]] = {}  # ordered
        self._started = float("-inf")  # of the last task, on the monotonic clock
        # Started with the daemon, so that a request needs no new thread when the system has none left.
        threading.Thread(target=self._work, name="requests", daemon=True).start()

    def add(self, request: SignalRequest) -> Future[object]:
        """Handle `request` soon, unless an equal one waits already; return the future result of its task."""
        with self._changed:
            result = self._pending.setdefault(request, Future())
            self._changed.notify()
        return result

    def _work(self) -> None:
        request: SignalRequest | None = None
        result: Future[object] = Future()
        while True:
            try:
                request, result = self._next()
                result.set_result(self._tasks[request]())
            except Exception as error:  # noqa: BLE001 - it would end the thread, and with it every later request
                name = request.name.lower() if request is not None else "unknown"
                _log.error("the request %s failed: internal error", name, extra=fields(fault=describe_exception(error)))
                if not result.done():
                    result.set_exception(error)

    def _next(self) -> tuple[SignalRequest, Future[object]]:
        """Wait for the next request, and until the last task started the minimum interval ago."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending)
        time.sleep(max(0.0, self._started + _MIN_INTERVAL - time.monotonic()))
        self._started = time.monotonic()
        with self._changed:
            request = next(iter(self._pending))
            return request, self._pending.pop(request)
