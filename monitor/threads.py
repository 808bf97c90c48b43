"""Daemon threads that are used again, because starting one costs as much as connecting to a host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_MOST_IDLE = 4  # threads that wait for more to do: enough for turns that overlap, and each holds little memory
Task = Callable[[], None]


class Workers:
    """Runs every task at once, in a thread that it has to itself. Safe to use from many threads at once.

    A task that hangs keeps its thread and disturbs no other; nobody waits for any of them at the exit.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._idle = 0
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()

    def start(self, task: Task) -> None:
        """Run `task`, which must raise nothing. Raises `RuntimeError` when the system has no thread left."""
        with self._mutex:
            idle = self._idle > 0
            self._idle -= idle
        if not idle:
            threading.Thread(target=self._work, name="worker", daemon=True).start()
        self._tasks.put(task)  # as many wait as there are tasks, whoever takes which

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            del task  # what it holds is not kept while nothing is done
            with self._mutex:
                if self._idle >= _MOST_IDLE:
                    return
                self._idle += 1
