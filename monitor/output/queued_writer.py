"""Writing to a file descriptor that may block: a bounded queue, and one daemon thread that empties it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import queue
import select
import threading
from collections.abc import Callable

_MAX_QUEUED = 1000  # entries: about 0.3 MB of usual log lines, and at most 32 MB of the longest ones
_LOWEST_DESCRIPTOR = 3  # 0, 1 and 2 stay the standard streams


class QueuedWriter:
    """Writes to a duplicate of `descriptor`. Thread-safe; neither `put` nor the exit of the process waits for a write.

    The standard library's `QueueHandler` does not serve: when its queue is full, it reports that on standard error,
    which blocks. The descriptor stays in its mode, because other processes may share its open file description.
    """

    def __init__(self, descriptor: int, report: Callable[[int], bytes] | None = None) -> None:
        """`report` returns the entry that is written after so many entries were dropped, once writing works again.

        Raises `OSError` if the descriptor cannot be duplicated, and `RuntimeError` if no thread can be started.
        """
        self._descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        self._report = report
        self._queue: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._mutex = threading.RLock()  # reentrant: a finalizer may log while its own thread is in `put`
        self._rejected = 0  # entries that found the queue full
        self._failed = 0  # entries that could not be written; only the writer thread changes this
        self._reported = 0
        self._ends_in_line = False  # whether the last write ended within a line
        self._error: OSError | None = None
        self._next: bytes | None = None  # the entry that did not fit into the last write
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Return the number of entries that were not written completely."""
        return self._rejected + self._failed

    @property
    def error(self) -> OSError | None:
        """Return the error of the last write; None if it succeeded."""
        return self._error

    def put(self, entry: bytes) -> None:
        """Queue `entry`, which ends with a line feed. It is dropped if the queue is full."""
        with self._mutex:
            if self._queue.qsize() >= _MAX_QUEUED:
                self._rejected += 1
            else:
                self._queue.put(entry)

    def flush(self, timeout: float) -> bool:
        """Wait until all queued entries are written, or for `timeout` seconds; return whether they are written."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(timeout)

    def _run(self) -> None:
        while True:
            entries, flushed = self._take()
            if entries:
                written = 0
                with contextlib.suppress(MemoryError):
                    written = self._write(entries)
                self._failed += len(entries) - written
            if flushed or self._queue.empty():
                with contextlib.suppress(Exception):  # a report that fails must not end the thread
                    self._report_dropped()
            if flushed:
                flushed.set()

    def _take(self) -> tuple[list[bytes], threading.Event | None]:
        """Wait for an entry, and return it with those that fit into the same write.

        After each write, the thread waits until others release the GIL. With one line per write, a burst of lines
        overflows the queue. Longer writes to a pipe may mix with those of other processes.
        """
        entries: list[bytes] = []
        size = 0
        while not entries or (size < select.PIPE_BUF and not self._queue.empty()):
            entry = self._next or self._queue.get()
            self._next = None
            if isinstance(entry, threading.Event):
                return entries, entry
            size += len(entry)
            if entries and size > select.PIPE_BUF:
                self._next = entry
                break
            entries.append(entry)
        return entries, None

    def _report_dropped(self) -> None:
        count = self.dropped - self._reported
        if count and self._report and self._error is None and self._next is None:
            self._reported += count * self._write([self._report(count)])

    def _write(self, entries: list[bytes]) -> int:
        """Write entries; return the number of those that were written completely. No entry is written again."""
        separator = b"\n" if self._ends_in_line else b""
        rest = memoryview(separator + b"".join(entries))
        ends = list(itertools.accumulate(map(len, entries), initial=len(separator)))[1:]
        total = len(rest)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # another process has made the open file description non-blocking
                self._wait_until_writable()
            except OSError as error:
                self._error = error
                return sum(end <= total - len(rest) for end in ends)
            else:
                self._ends_in_line = rest[written - 1] != ord("\n")
                rest = rest[written:]
        self._error = None
        return len(entries)

    def _wait_until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll()
