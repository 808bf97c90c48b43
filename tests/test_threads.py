"""Threads are used again, none waits for another, and a burst leaves few behind."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable

import pytest

from monitor import threads as workers
from monitor.threads import Workers
from tests.support.process import wait_for

PATIENCE = 10.0  # seconds


def hang_until(event: threading.Event) -> None:
    """Hang until the event."""
    assert event.wait(PATIENCE)


def test_the_next_task_gets_the_thread_of_the_last() -> None:
    """Starting one is what costs."""
    pool, ran = Workers(), queue.SimpleQueue[threading.Thread]()
    threads = []
    for _ in range(5):
        pool.start(lambda: ran.put(threading.current_thread()))
        threads.append(ran.get(timeout=PATIENCE))
        wait_for(lambda: pool._idle == 1, "it waits for more")
    assert len(set(threads)) == 1
    assert threads[0].daemon


@pytest.mark.parametrize("count", [1, 20])
def test_tasks_that_hang_hold_up_no_other(count: int) -> None:
    """Each has a thread to itself, from the moment it is given."""
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


def test_a_burst_leaves_few_threads_behind() -> None:
    """They hold memory, and the next burst may never come."""
    pool, go_on = Workers(), threading.Event()
    before = set(threading.enumerate())
    for _ in range(3 * workers._MOST_IDLE):
        pool.start(functools.partial(hang_until, go_on))
    assert len(set(threading.enumerate()) - before) == 3 * workers._MOST_IDLE
    go_on.set()
    wait_for(lambda: len(set(threading.enumerate()) - before) == workers._MOST_IDLE, "the others have ended")
    ran = threading.Event()
    pool.start(ran.set)
    assert ran.wait(PATIENCE)


def test_what_a_task_holds_is_let_go() -> None:
    """A thread that waits must not keep the last environment, or its token, alive."""

    class Held:
        """Something that can be seen to end."""

        def __init__(self, ended: threading.Event) -> None:
            self._ended = ended

        def __del__(self) -> None:
            self._ended.set()

        def task(self) -> None:
            """Do nothing."""

    pool, ended = Workers(), threading.Event()
    pool.start(Held(ended).task)
    assert ended.wait(PATIENCE)
