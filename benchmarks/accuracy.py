"""The difference between reported and captured durations, without and with concurrent scrapes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capture import WireExchange, capturing, exchanges
from benchmarks.processes import QUICK, Exporter, Reported, exporter, monitor, name_of, reported
from benchmarks.scraping import storming
from benchmarks.target import Port, serving
from tests.support.process import Monitor, wait_for

ENVIRONMENTS = 4
DELAY = 0.020  # seconds
PARALLEL = 50
_STEP = 1.0 / (2 * ENVIRONMENTS)  # seconds between two runs of a daemon that pings and logs in once a second
_NEAR = 1.0  # seconds: maximum difference between the reported and the captured start of an exchange
_ROUNDED = 0.001  # seconds: the precision of the start time in the log
_CUT_OFF = 4  # maximum number of exchanges that the end of a capture cuts off
_INTO = 0.008  # seconds from the start of an exchange to the scrape that disturbs it


@dataclass(frozen=True, slots=True)
class Compared:
    """The difference between the reported and the captured times of one exchange, in seconds."""

    began: float  # Unix seconds
    error: float  # reported minus captured duration
    processing_error: float
    round_trips: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Every exchange of a measurement, by the concurrent load."""

    quiet: dict[float, list[Compared]]  # by the server's delay
    exporter: dict[float, list[Compared]]  # by `probe_duration_seconds`
    exporter_phases: dict[float, list[Compared]]  # by the sum of `probe_http_duration_seconds`
    scraped: list[Compared]  # exchanges with a scrape in the middle
    stormed: list[Compared]
    version: str  # of the exporter
    nginx: str  # version


def compare(reports: Sequence[Reported], captured: Sequence[WireExchange]) -> list[Compared]:
    """Pair each reported exchange with the first captured one that began after it.

    Raises RuntimeError if more exchanges lack a pair than the end of the capture can cut off.
    """
    pairs, unpaired, waiting = [], [], deque(captured)
    for each in reports:
        while waiting and waiting[0].began < each.began - _ROUNDED:
            waiting.popleft()
        if not waiting or waiting[0].began > each.began + _NEAR:
            unpaired.append(each)
            continue
        wire = waiting.popleft()
        errors = each.duration - wire.duration, each.processing - wire.processing
        pairs.append(Compared(each.began, *errors, wire.round_trips))
    if len(unpaired) > _CUT_OFF:
        times = [", ".join(f"{each.began:.3f}" for each in of) for of in (unpaired[:10], captured[:10], captured[-10:])]
        raise RuntimeError(
            f"the capture lacks {len(unpaired)} of {len(reports)} exchanges, which began at {times[0]}; "
            f"it contains {len(captured)}, which began at {times[1]} ... {times[2]}"
        )
    return pairs


def measure(seconds: float, directory: Path) -> Accuracy:
    """Run both programs alternately, then the daemon with one scrape per second, then with parallel scrapes.

    Each of the three parts takes this many seconds.
    """
    with serving([DELAY, DELAY, DELAY, 0.0, 0.0, 0.0], directory) as target:
        ports = target.ports
        pairs = [(ports[0], ports[1]), (ports[0], ports[1]), (ports[3], ports[4]), (ports[3], ports[4])]
        file = directory / "packets"
        with (
            exporter(target, ports[2], directory) as other,
            capturing([port.number for port in ports], file),
            monitor(target, pairs, directory, QUICK | {"TIGR_LOG_LEVEL": "debug"}) as daemon,
        ):
            grid = _grid(daemon)
            begun = time.time()
            probes = _probe_between(other, (ports[2], ports[5]), grid, begun + seconds)
            quiet_until = time.time()
            scrapes = _scrape_each_second(daemon, grid, quiet_until + seconds)
            with storming(daemon.port, PARALLEL):
                stormed_from = time.time() + 1
                _wait(1 + seconds)
                stormed_until = time.time() - 1
        ours: dict[float, list[Compared]] = {
            delay: [
                each
                for port, endpoint in zip(both, ("token", "ping"), strict=True)
                for each in compare(reported(daemon.log_file, endpoint, names), exchanges(file, port.number))
            ]
            for delay, both, names in (
                (DELAY, ports[0:2], (name_of(0), name_of(1))),
                (0.0, ports[3:5], (name_of(2), name_of(3))),
            )
        }
        theirs = {port: exchanges(file, port.number) for port in (ports[2], ports[5])}
    return Accuracy(
        quiet={delay: [each for each in all_ if begun <= each.began < quiet_until] for delay, all_ in ours.items()},
        exporter={
            port.delay: compare([Reported(r.began, whole, r.processing) for r, whole in probes[port]], theirs[port])
            for port in probes
        },
        exporter_phases={port.delay: compare([r for r, _ in probes[port]], theirs[port]) for port in probes},
        scraped=[each for each in ours[DELAY] if any(each.began < moment < each.began + DELAY for moment in scrapes)],
        stormed=[each for each in ours[DELAY] if stormed_from <= each.began < stormed_until],
        version=other.version,
        nginx=target.version,
    )


def _grid(daemon: Monitor) -> float:
    """Return the start of a ping of the first environment, in Unix seconds; other runs follow in equal steps."""

    def pings() -> list[Reported]:
        return reported(daemon.log_file, "ping", (name_of(0),))

    wait_for(lambda: len(pings()) >= 4, "the daemon pings")  # after four pings, start-up effects are over
    return pings()[-1].began


def _next(grid: float, step: float, after: float) -> float:
    """Return the next time in equal steps from `grid` on, plus `after` seconds."""
    now = time.time()
    moment = grid + after + (int((now - grid - after) / step) + 1) * step
    return moment if moment > now else moment + step


def _probe_between(
    other: Exporter, ports: tuple[Port, Port], grid: float, until: float
) -> dict[Port, list[tuple[Reported, float]]]:
    """Let the exporter probe both ports alternately, each time in the middle between two runs of the daemon."""
    probes: dict[Port, list[tuple[Reported, float]]] = {port: [] for port in ports}
    for port in ports:
        other.probe("ping", f"{port.api_url}/api/system/ping")  # the first probe is slow
    count = 0
    while time.time() < until:
        _wait(_next(grid, _STEP, _STEP / 2) - time.time())
        port = ports[count // 2 % 2]  # as often after a login as after a ping
        probes[port].append(other.probe("ping", f"{port.api_url}/api/system/ping"))
        count += 1
    return probes


def _scrape_each_second(daemon: Monitor, grid: float, until: float) -> list[float]:
    """Scrape once a second, in the middle of a ping; return the times of the scrapes in Unix seconds."""
    moments = []
    while time.time() < until:
        _wait(_next(grid, 1.0, _INTO) - time.time())
        moments.append(time.time())
        daemon.metrics()
    return moments


def _wait(seconds: float) -> None:
    threading.Event().wait(max(0.0, seconds))
