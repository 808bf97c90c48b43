"""Load on `/metrics`: a number of scrapes, continuous parallel scrapes, and connections that send nothing."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAX_SCRAPES = 1_000_000  # more than any measurement needs


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The durations and failures of a number of scrapes."""

    durations: tuple[float, ...]  # seconds from the connect to the last byte, rounded to milliseconds
    failures: int  # as ab counts them: some failed connections count twice


def storm(port: int, parallel: int, count: int) -> Scrapes:
    """Scrape `/metrics` `count` times, `parallel` at a time, each on a new connection."""
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory, "times")
        done = subprocess.run(
            [*_ab(parallel), "-n", str(count), "-g", str(table), _url(port)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return Scrapes((), count)
        lines = table.read_text(encoding="utf-8").splitlines()[1:]
    durations = tuple(int(line.split("\t")[4]) / 1000 for line in lines)
    report = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    failed = sum(int(report.get(name, "0")) for name in ("Failed requests", "Non-2xx responses"))
    return Scrapes(durations, failed + count - int(report["Complete requests"]))


@contextmanager
def storming(port: int, parallel: int) -> Iterator[None]:
    """Scrape with `parallel` clients, without a pause, until the end of the block.

    Raises RuntimeError if ab ended early.
    """
    process = subprocess.Popen(
        [*_ab(parallel), "-n", str(_MAX_SCRAPES), _url(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"ab ended early, with status {process.returncode}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def silent(port: int, count: int) -> Iterator[None]:
    """Keep this many connections open without sending anything."""
    with ExitStack() as connections:
        for _ in range(count):
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        yield


def _ab(parallel: int) -> list[str]:
    # -r: count a failed connection and continue. -l: accept responses of different length.
    return ["ab", "-q", "-r", "-l", "-s", "30", "-c", str(parallel)]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"
