"""Scrapers of several manners: one now and then, fifty at once, and two hundred who connect and say nothing."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_MOST = 1_000_000  # more than any storm here comes to


@dataclass(frozen=True, slots=True)
class Scrapes:
    """What came of a number of scrapes."""

    durations: tuple[float, ...]  # seconds, each from the connect to the last byte, to a millisecond
    failures: int  # as ab counts them: some that no connection was had for count twice


def storm(port: int, parallel: int, count: int) -> Scrapes:
    """Scrape `/metrics` so often, so many at a time, each on a connection of its own."""
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
    told = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    refused = sum(int(told.get(name, "0")) for name in ("Failed requests", "Non-2xx responses"))
    return Scrapes(durations, refused + count - int(told["Complete requests"]))


@contextmanager
def storming(port: int, parallel: int) -> Iterator[None]:
    """Scrape so many at a time, without a pause, until the end of the block."""
    process = subprocess.Popen(
        [*_ab(parallel), "-n", str(_MOST), _url(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the storm of scrapes ended early, with status {process.returncode}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def silent(port: int, count: int) -> Iterator[None]:
    """Keep so many connections open, on which nothing is said."""
    with ExitStack() as connections:
        for _ in range(count):
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        yield


def _ab(parallel: int) -> list[str]:
    # -r: a connection that is refused is counted, and the others go on. -l: pages differ in length.
    return ["ab", "-q", "-r", "-l", "-s", "30", "-c", str(parallel)]


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"
