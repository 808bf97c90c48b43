"""The cost of the monitor: processor time per exchange, memory, start time, first exchange, and scrapes."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import QUICK, Cost, Exporter, exporter, monitor, reported
from benchmarks.scraping import Scrapes, silent, storm
from benchmarks.target import Port, Target, serving
from monitor.http.tls import verifying_context
from tests.support.process import Monitor, wait_for

DELAY = 0.020  # seconds
EXCHANGES = 2000
STARTS = 10
PARALLEL = 50
STORMS = 10
SILENT = 200
_SCRAPES_PER_STORM = 500
ALONE = 200  # sequential scrapes, and plain exchanges
_ENVIRONMENTS = 4
_PAUSE = 1 / (2 * _ENVIRONMENTS)  # seconds between two exchanges
_PATH = "/api/system/ping"


@dataclass(frozen=True, slots=True)
class Running:
    """The cost of both programs, over a number of exchanges of the daemon."""

    exchanges: int
    cpu: float  # seconds per exchange
    plain_cpu: float  # seconds per exchange of Python's socket and ssl alone
    exporter_ping_cpu: float  # seconds per exchange, with a configured token
    exporter_login_cpu: float  # seconds per exchange, with a login before each ping
    resident: int  # bytes


@dataclass(frozen=True, slots=True)
class ScrapeCosts:
    """The scrapes of both programs."""

    ours: Scrapes  # parallel
    theirs: Scrapes  # parallel
    alone: Scrapes  # sequential
    with_silent: Scrapes  # sequential, with silent connections


def running(directory: Path) -> Running:
    """Run eight exchanges per second with the daemon, and as many with the exporter."""
    with serving([DELAY, DELAY], directory, "localhost") as target:  # real settings have host names
        token, ping = target.ports
        with (
            exporter(target, token, directory) as other,
            monitor(target, [(token, ping)] * _ENVIRONMENTS, directory) as daemon,
        ):
            url = f"{ping.api_url}{_PATH}"
            ours, theirs = Cost(daemon.process.pid), Cost(other.pid)
            wait_for(lambda: _made(daemon) >= 20, "the daemon makes exchanges")
            begun, cpu = _made(daemon), ours.cpu()
            ping_cpu = _probe_until(other, "ping", url, lambda: _made(daemon) >= EXCHANGES / 2, theirs)
            login_cpu = _probe_until(other, "login", url, lambda: _made(daemon) >= EXCHANGES, theirs)
            made, used = _made(daemon) - begun, ours.cpu() - cpu
            resident = ours.resident()
            return Running(_made(daemon), used / made, _plain(target, ping), ping_cpu, login_cpu / 2, resident)


def _plain(target: Target, ping: Port) -> float:
    """Return the processor time in seconds of a minimal ping in Python, at the same rate."""
    context = verifying_context(target.ca_file)
    request = f"GET {_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    used = 0.0
    for _ in range(ALONE):
        time.sleep(_PAUSE)
        began = time.process_time()
        with (
            socket.create_connection((ping.host, ping.number), timeout=10) as connection,
            context.wrap_socket(connection, server_hostname=ping.host) as secured,
        ):
            secured.sendall(request)
            while secured.recv(65536):
                pass
        used += time.process_time() - began
    return used / ALONE


def _probe_until(other: Exporter, module: str, url: str, done: Callable[[], bool], cost: Cost) -> float:
    """Let the exporter probe eight times a second; return the processor time per probe in seconds."""
    before, probes = cost.cpu(), 0
    while not (probes % 80 == 0 and done()):  # `done` scrapes the daemon; every 80 probes, that costs little
        began = time.monotonic()
        other.probe(module, url)
        probes += 1
        time.sleep(max(0.0, _PAUSE - (time.monotonic() - began)))
    return (cost.cpu() - before) / probes


def _made(daemon: Monitor) -> int:
    """Return the number of successful exchanges of the daemon."""
    counts = re.findall(r'^tigr_requests_total\{.*outcome="success"\} (\S+)', daemon.metrics(), re.MULTILINE)
    return int(sum(float(count) for count in counts))


def starts(directory: Path) -> list[float]:
    """Return the seconds from the start of a process to the first response of `/metrics`, for several processes."""
    with serving([DELAY], directory) as target:
        return [_start(target, directory) for _ in range(STARTS)]


def _start(target: Target, directory: Path) -> float:
    began = time.monotonic()
    with monitor(target, [(target.ports[0], target.ports[0])] * 2, directory) as daemon:
        daemon.metrics()
        return time.monotonic() - began


def first_exchanges(directory: Path) -> list[float]:
    """Return the seconds by which the first exchange took longer than the second, for several processes."""
    differences = []
    with serving([DELAY], directory) as target:
        for number in range(STARTS):
            port, working_directory = target.ports[0], directory / f"first-{number}"
            working_directory.mkdir()
            with monitor(target, [(port, port)], working_directory, QUICK | {"TIGR_LOG_LEVEL": "debug"}) as daemon:
                log = daemon.log_file
                wait_for(lambda log=log: bool(reported(log, "ping")), "a ping")  # type: ignore[misc]
                first, second = reported(log, "token")[0], reported(log, "ping")[0]
                differences.append(first.duration - second.duration)
    return differences


def scraped(directory: Path) -> ScrapeCosts:
    """Scrape both programs in parallel, then the daemon sequentially, without and with silent connections."""
    with serving([DELAY, DELAY], directory) as target:
        token, ping = target.ports
        with exporter(target, token, directory) as other, monitor(target, [(token, ping)] * 2, directory) as daemon:
            wait_for(lambda: _made(daemon) >= 4, "the daemon makes exchanges")
            ours, theirs = [], []
            for _ in range(STORMS):
                ours.append(storm(daemon.port, PARALLEL, _SCRAPES_PER_STORM))
                theirs.append(storm(other.port, PARALLEL, _SCRAPES_PER_STORM))
            alone = storm(daemon.port, 1, ALONE)
            with silent(daemon.port, SILENT):
                with_silent = storm(daemon.port, 1, ALONE)
            return ScrapeCosts(_together(ours), _together(theirs), alone, with_silent)


def _together(storms: list[Scrapes]) -> Scrapes:
    durations = tuple(duration for each in storms for duration in each.durations)
    return Scrapes(durations, sum(each.failures for each in storms))
