"""The queued writer never blocks its callers, and loses no record without counting it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.output import queued_writer
from monitor.output.queued_writer import QueuedWriter
from tests.support.pipes import PipeReader, fill, pipe
from tests.support.process import PATIENCE, wait_for


def report(count: int) -> bytes:
    """Return the report of dropped entries."""
    return b"dropped %d\n" % count


@pytest.fixture(autouse=True)
def small_queue(monkeypatch: pytest.MonkeyPatch) -> int:
    """Limit the queue to 20 entries."""
    monkeypatch.setattr(queued_writer, "_MAX_QUEUED", 20)
    return 20


def is_writing(writer: QueuedWriter) -> bool:
    """Return whether the thread writes: it adds no further entry to that write."""
    frames = sys._current_frames().values()
    return any(frame.f_code is QueuedWriter._write.__code__ and frame.f_locals["self"] is writer for frame in frames)


@contextlib.contextmanager
def stuck() -> Iterator[tuple[QueuedWriter, PipeReader]]:
    """Yield a writer to a full pipe, with a first entry that the thread is writing, and a reader of the pipe."""
    with pipe(full=True) as (reading, writing):
        writer = QueuedWriter(writing, report)
        writer.put(b"first\n")
        wait_for(lambda: is_writing(writer), "the thread writes")
        yield writer, PipeReader(reading)


def test_entries_are_written_in_their_order() -> None:
    """`flush` returns after the last entry was written."""
    with pipe() as (reading, writing):
        writer = QueuedWriter(writing, report)
        for number in range(10):
            writer.put(b"%d\n" % number)
        assert writer.flush(PATIENCE)
        assert PipeReader(reading).text() == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
        assert writer.dropped == 0


def test_dropped_entries_are_counted_and_reported_once(small_queue: int) -> None:
    """After a stuck reader resumes, the accepted entries come first, then one report; later entries follow."""
    with stuck() as (writer, reader):
        for number in range(small_queue + 7):
            writer.put(b"%d\n" % number)
        assert writer.dropped == 7
        assert not writer.flush(0.1)
        accepted = "".join(f"{number}\n" for number in range(small_queue))
        wait_for(lambda: "dropped" in reader.text(), "the report")
        writer.put(b"later\n")
        wait_for(lambda: "later" in reader.text(), "the later entry")
        assert reader.text() == f"first\n{accepted}dropped 7\nlater\n"
        assert writer.dropped == 7


def test_each_period_of_drops_has_a_report_of_its_own(small_queue: int) -> None:
    """The second report contains only what was dropped since the first one."""
    with pipe() as (reading, writing):
        writer, reader = QueuedWriter(writing, report), PipeReader(reading)
        for count in (3, 5):
            fill(writing)
            writer.put(b"first\n")
            wait_for(functools.partial(is_writing, writer), "the thread writes")
            for _ in range(small_queue + count):
                writer.put(b"x\n")
            wait_for(lambda count=count: f"dropped {count}\n" in reader.text(), "the report")  # type: ignore[misc]


def test_every_entry_of_many_threads_is_written_or_counted() -> None:
    """No entry is lost without a trace, and no two entries are mixed."""
    with stuck() as (writer, reader):
        lines = [b"%d %s\n" % (number, b"x" * 50) for number in range(8)]

        def put(line: bytes) -> None:
            for _ in range(500):
                writer.put(line)

        threads = [threading.Thread(target=put, args=(line,)) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        wait_for(lambda: "dropped" in reader.text(), "the report")
        written = reader.text().splitlines(keepends=True)
        assert set(written[1:-1]) <= {line.decode() for line in lines}
        assert len(written[1:-1]) + writer.dropped == 8 * 500


def test_the_descriptor_keeps_its_mode_and_the_duplicate_is_not_inherited() -> None:
    """Another process may share the open file description, so it is never made non-blocking."""
    with stuck() as (writer, _):
        assert os.get_blocking(writer._descriptor)
        assert fcntl.fcntl(writer._descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert writer._descriptor > 2


def test_a_pipe_that_is_not_blocking_loses_nothing() -> None:
    """If another process made the pipe non-blocking, long entries are continued where the write has ended."""
    with pipe() as (reading, writing):
        os.set_blocking(writing, False)
        writer, reader = QueuedWriter(writing, report), PipeReader(reading)
        entries = [bytes([97 + number]) * 300_000 + b"\n" for number in range(3)]
        for entry in entries:
            writer.put(entry)
        wait_for(lambda: len(reader.text()) >= 900_003, "all entries")
        assert reader.text().encode() == b"".join(entries)
        assert writer.dropped == 0


def test_an_entry_without_a_reader_is_dropped_until_there_is_one(tmp_path: Path) -> None:
    """A reader of a named pipe that returns gets the report and the later entries."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(path, os.O_WRONLY)
    writer = QueuedWriter(writing, report)
    os.close(reading)
    for _ in range(3):
        writer.put(b"lost\n")
    assert writer.flush(PATIENCE)
    assert "Broken pipe" in str(writer.error)
    assert writer.dropped == 3
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer.put(b"back\n")
    assert writer.flush(PATIENCE)
    assert PipeReader(reading).text() == "back\ndropped 3\n"
    assert writer.error is None
    os.close(reading)
    os.close(writing)


def test_an_entry_that_was_cut_ends_with_a_line_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a disk was full in the middle of a line, the next entry starts on a line of its own."""
    write, full = os.write, threading.Event()

    def limited(descriptor: int, data: bytes) -> int:
        if full.is_set():
            raise OSError(28, "No space left on device")
        if bytes(data[:3]) == b"cut":
            full.set()
            return write(descriptor, data[:2])
        return write(descriptor, data)

    monkeypatch.setattr("monitor.output.queued_writer.os.write", limited)
    path = tmp_path / "log"
    with path.open("wb") as file:
        writer = QueuedWriter(file.fileno(), report)
        writer.put(b"cut here\n")
        assert writer.flush(PATIENCE)
        full.clear()
        writer.put(b"next\n")
        assert writer.flush(PATIENCE)
    assert path.read_text() == "cu\nnext\ndropped 1\n"


def test_only_the_entries_of_a_failed_write_that_are_incomplete_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that wait together are written together; those before the point of a failure are not lost."""
    write, begun, released, full = os.write, threading.Event(), threading.Event(), threading.Event()

    def limited(descriptor: int, data: bytes) -> int:
        if bytes(data[:4]) == b"hold":
            begun.set()
            assert released.wait(PATIENCE)
        if full.is_set():
            raise OSError(28, "No space left on device")
        if bytes(data[:3]) == b"one":
            full.set()
            return write(descriptor, data[:5])
        return write(descriptor, data)

    monkeypatch.setattr("monitor.output.queued_writer.os.write", limited)
    path = tmp_path / "log"
    with path.open("wb") as file:
        writer = QueuedWriter(file.fileno(), report)
        writer.put(b"hold\n")
        assert begun.wait(PATIENCE)
        for entry in (b"one\n", b"two\n", b"three\n"):
            writer.put(entry)
        released.set()
        assert writer.flush(PATIENCE)
    assert path.read_text() == "hold\none\nt"
    assert writer.dropped == 2


def test_a_full_device_drops_each_entry() -> None:
    """Nothing is written to /dev/full, and no report is attempted before a write succeeds."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = QueuedWriter(descriptor, report)
    for _ in range(5):
        writer.put(b"x\n")
    assert writer.flush(PATIENCE)
    assert writer.dropped == 5
    os.close(descriptor)


def test_a_report_that_fails_does_not_end_the_writer(small_queue: int) -> None:
    """The entries after it are written."""

    def broken(count: int) -> bytes:
        raise RuntimeError(str(count))

    with pipe(full=True) as (reading, writing):
        writer, reader = QueuedWriter(writing, broken), PipeReader(reading)
        for _ in range(small_queue + 2):
            writer.put(b"x\n")
        wait_for(lambda: reader.text().count("x") >= small_queue, "the accepted entries")
        writer.put(b"later\n")
        wait_for(lambda: "later" in reader.text(), "the later entry")


def test_a_write_that_cannot_allocate_does_not_end_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries of that write count as dropped."""
    write, lacking = os.write, threading.Event()

    def limited(descriptor: int, data: bytes) -> int:
        if bytes(data[:4]) == b"lost" and not lacking.is_set():
            lacking.set()
            raise MemoryError
        return write(descriptor, data)

    monkeypatch.setattr("monitor.output.queued_writer.os.write", limited)
    with pipe() as (reading, writing):
        writer, reader = QueuedWriter(writing, report), PipeReader(reading)
        writer.put(b"lost\n")
        assert lacking.wait(PATIENCE)
        writer.put(b"later\n")
        wait_for(lambda: "later" in reader.text() and "dropped 1" in reader.text(), "the later entry and the report")
        assert writer.dropped == 1


def test_a_finalizer_may_use_the_writer_during_put() -> None:
    """A garbage collection within `put` can run code that calls `put` in the same thread."""
    with pipe() as (reading, writing):
        writer = QueuedWriter(writing, report)
        with writer._mutex:
            writer.put(b"x\n")
        assert writer.flush(PATIENCE)
        assert PipeReader(reading).text() == "x\n"
