"""A pool of daemon threads. Threads are reused because starting one costs as much as connecting to a host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_MAX_IDLE = 4  # threads that wait for a task: enough for overlapping runs, and each needs little memory
Task = Callable[[], None]


class Workers:
    """Run each task immediately, in a thread of its own. Several threads may use a pool at the same time.

    A task that hangs blocks only its own thread. The exit of the process does not wait for any task.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._idle = 0
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()

    def start(self, task: Task) -> None:
        """Run `task`, which must not raise. Raises `RuntimeError` if the system cannot start a thread."""
        with self._mutex:
            idle = self._idle > 0
            self._idle -= idle
        if not idle:
            threading.Thread(target=self._work, name="worker", daemon=True).start()
        self._tasks.put(task)  # there are as many waiting threads as tasks; any of them may take this one

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            del task  # an idle thread must not keep the objects of its last task alive
            with self._mutex:
                if self._idle >= _MAX_IDLE:
                    return
                self._idle += 1
