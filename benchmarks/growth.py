"""Cost and accuracy for a growing number of environments at the default intervals, on one core."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy import compare
from benchmarks.capture import capturing, exchanges
from benchmarks.figures import Spread
from benchmarks.processes import Cost, monitor, name_of, reported
from benchmarks.target import serving
from tests.support.process import Monitor

NUMBERS = (2, 10, 100, 500)  # environments
DELAY = 0.020  # seconds
_MOST_PAIRS = 25  # pairs of ports; with few environments per port, two of them never begin at the same time
_SETTLED = 35.0  # seconds until every environment has had its first runs
_SCRAPE = 5.0  # seconds between two scrapes, as docs/alerting.md recommends
_SAMPLE = re.compile(r'^(\w+)\{endpoint="(\w+)",environment="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Point:
    """The result for one number of environments."""

    environments: int
    cpu: float  # share of one core
    resident: int  # bytes
    delay: Spread  # seconds by which runs began late
    error: Spread  # seconds: reported minus captured duration
    missed: int  # runs


def measure(environments: int, seconds: float, directory: Path) -> Point:
    """Measure a number of environments for some seconds after their first runs, with a scrape every five seconds.

    Few environments have few runs, so they are measured for twice as long.
    """
    seconds = max(seconds, _SETTLED) * (2 if environments < _MOST_PAIRS else 1)
    directory.mkdir()
    *others, last = sorted(os.sched_getaffinity(0))
    file = directory / "packets"
    with ExitStack() as running:
        with _on(others or [last]):
            target = running.enter_context(serving([DELAY] * 2 * min(environments, _MOST_PAIRS), directory))
            pairs = list(zip(target.ports[::2], target.ports[1::2], strict=True))
            running.enter_context(capturing([port.number for port in target.ports], file))
        with _on([last]):
            ports = [pairs[number % len(pairs)] for number in range(environments)]
            daemon = running.enter_context(monitor(target, ports, directory, {"TIGR_LOG_LEVEL": "debug"}))
        _wait(_SETTLED)
        cost, begun, from_then = Cost(daemon.process.pid), time.monotonic(), time.time()
        cpu = cost.cpu()
        delays: dict[tuple[str, str, float], float] = {}
        missed = missed_now = _scrape(daemon, delays)
        while time.monotonic() < begun + seconds:
            _wait(_SCRAPE)
            missed_now = _scrape(daemon, delays)
        used, resident = cost.cpu() - cpu, cost.resident()
        elapsed = time.monotonic() - begun
    compared = [
        each
        for at, pair in enumerate(pairs)
        for port, endpoint in zip(pair, ("token", "ping"), strict=True)
        for each in compare(
            reported(daemon.log_file, endpoint, {name_of(number) for number in range(at, environments, len(pairs))}),
            exchanges(file, port.number),
        )
        if each.began >= from_then
    ]
    late = [delay for (_, _, began), delay in delays.items() if began >= from_then]
    return Point(
        environments,
        used / elapsed,
        resident,
        Spread.of(late),
        Spread.of([each.error for each in compared]),
        missed_now - missed,
    )


def _scrape(daemon: Monitor, delays: dict[tuple[str, str, float], float]) -> int:
    """Record the delay of each most recent run by its start time; return the number of missed runs so far."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    for name, endpoint, environment, value in _SAMPLE.findall(daemon.metrics()):
        values.setdefault(name, {})[environment, endpoint] = float(value)
    delay = values["tigr_schedule_delay_seconds"]
    for key, began in values["tigr_last_attempt_timestamp_seconds"].items():
        delays[(*key, began)] = delay[key]
    return int(sum(values["tigr_schedule_missed_total"].values()))


@contextmanager
def _on(cores: Iterable[int]) -> Iterator[None]:
    """Restrict processes that start in this block to these cores; running processes are not moved."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
