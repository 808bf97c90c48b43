"""The thread pool: threads are reused, do not wait for each other, and few remain after a burst."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable

import pytest

from monitor import threads
from monitor.threads import Workers
from tests.support.process import PATIENCE, wait_for


def hang_until(event: threading.Event) -> None:
    """Wait until the event is set."""
    assert event.wait(PATIENCE)


def test_the_next_task_reuses_the_thread() -> None:
    """Successive tasks run in one thread, because starting a thread is expensive."""
    pool, ran = Workers(), queue.SimpleQueue[threading.Thread]()
    used = []
    for _ in range(5):
        pool.start(lambda: ran.put(threading.current_thread()))
        used.append(ran.get(timeout=PATIENCE))
        wait_for(lambda: pool._idle == 1, "the thread is idle")
    assert len(set(used)) == 1
    assert used[0].daemon


@pytest.mark.parametrize("count", [1, 20])
def test_tasks_that_hang_delay_no_other(count: int) -> None:
    """Each task starts immediately in a thread of its own."""
    pool, go_on, ran = Workers(), threading.Event(), queue.SimpleQueue[int]()

    def hang(number: int) -> Callable[[], None]:
        def task() -> None:
            ran.put(number)
            hang_until(go_on)

        return task

    try:
        for number in range(count):
            pool.start(hang(number))
        pool.start(lambda: ran.put(count))
        assert {ran.get(timeout=PATIENCE) for _ in range(count + 1)} == set(range(count + 1))
    finally:
        go_on.set()


def test_few_threads_remain_after_a_burst() -> None:
    """Threads above the limit of idle ones end, because each of them needs memory."""
    pool, go_on = Workers(), threading.Event()
    before = set(threading.enumerate())
    for _ in range(3 * threads._MAX_IDLE):
        pool.start(functools.partial(hang_until, go_on))
    assert len(set(threading.enumerate()) - before) == 3 * threads._MAX_IDLE
    go_on.set()
    wait_for(lambda: len(set(threading.enumerate()) - before) == threads._MAX_IDLE, "the others have ended")
    ran = threading.Event()
    pool.start(ran.set)
    assert ran.wait(PATIENCE)


def test_an_idle_thread_keeps_no_object_of_its_last_task() -> None:
    """The objects of a finished task are freed, because they may be an old environment and its token."""

    class Freed:
        """An object that sets an event when it is freed."""

        def __init__(self, ended: threading.Event) -> None:
            self._ended = ended

        def __del__(self) -> None:
            self._ended.set()

        def task(self) -> None:
            """Do nothing."""

    pool, ended = Workers(), threading.Event()
    pool.start(Freed(ended).task)
    assert ended.wait(PATIENCE)
