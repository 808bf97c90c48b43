"""What it costs: processor time per exchange, memory, the time to start, the first exchange, and scrapes."""

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
_EACH = 500  # scrapes of a storm
ALONE = 200  # scrapes one after the other
_ENVIRONMENTS = 4
_PAUSE = 1 / (2 * _ENVIRONMENTS)  # seconds between two exchanges
_PATH = "/api/system/ping"


@dataclass(frozen=True, slots=True)
class Running:
    """Both side by side, over so many exchanges of the daemon."""

    exchanges: int
    cpu: float  # seconds per exchange
    plain_cpu: float  # seconds per exchange, of Python's socket and ssl with nothing around them
    exporter_ping_cpu: float  # seconds per exchange, with a token that it is given
    exporter_login_cpu: float  # seconds per exchange, with a login before each ping
    resident: int  # bytes


@dataclass(frozen=True, slots=True)
class ScrapeCosts:
    """Scrapes of both."""

    ours: Scrapes
    theirs: Scrapes
    alone: Scrapes
    beside_silent: Scrapes


def running(directory: Path) -> Running:
    """Let the daemon make its exchanges, at eight a second, while the exporter probes as often."""
    with serving([DELAY, DELAY], directory, "localhost") as target:  # as everybody has it: a name
        token, ping = target.ports
        with (
            exporter(target, token, directory) as other,
            monitor(target, [(token, ping)] * _ENVIRONMENTS, directory) as daemon,
        ):
            url = f"{ping.api_url}{_PATH}"
            own, theirs = Cost(daemon.process.pid), Cost(other.pid)
            wait_for(lambda: _made(daemon) >= 20, "the daemon is under way")
            begun, cpu = _made(daemon), own.cpu()
            ping_cpu = _probe_until(other, "ping", url, lambda: _made(daemon) >= EXCHANGES / 2, theirs)
            login_cpu = _probe_until(other, "login", url, lambda: _made(daemon) >= EXCHANGES, theirs)
            made, used = _made(daemon) - begun, own.cpu() - cpu
            resident = own.resident()
            return Running(_made(daemon), used / made, _plain(target, ping), ping_cpu, login_cpu / 2, resident)


def _plain(target: Target, ping: Port) -> float:
    """Seconds of processor time that one ping takes at the least in Python, at the same pace."""
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
    """Let the exporter probe eight times a second; returns the processor time of a probe."""
    before, probes = cost.cpu(), 0
    while not (probes % 80 == 0 and done()):  # a scrape now and then costs the daemon next to nothing
        began = time.monotonic()
        other.probe(module, url)
        probes += 1
        time.sleep(max(0.0, _PAUSE - (time.monotonic() - began)))
    return (cost.cpu() - before) / probes


def _made(daemon: Monitor) -> int:
    """How many exchanges the daemon has made."""
    counts = re.findall(r'^tigr_requests_total\{.*outcome="success"\} (\S+)', daemon.metrics(), re.MULTILINE)
    return int(sum(float(count) for count in counts))


def starts(directory: Path) -> list[float]:
    """Seconds from the start of the process until `/metrics` answers, several times."""
    with serving([DELAY], directory) as target:
        return [_start(target, directory) for _ in range(STARTS)]


def _start(target: Target, directory: Path) -> float:
    began = time.monotonic()
    with monitor(target, [(target.ports[0], target.ports[0])] * 2, directory) as daemon:
        daemon.metrics()
        return time.monotonic() - began


def first_exchanges(directory: Path) -> list[float]:
    """By how many seconds the first exchange of a process took longer than the second, several times."""
    found = []
    with serving([DELAY], directory) as target:
        for number in range(STARTS):
            port, own = target.ports[0], directory / f"first-{number}"
            own.mkdir()
            with monitor(target, [(port, port)], own, QUICK | {"TIGR_LOG_LEVEL": "debug"}) as daemon:
                log = daemon.log_file
                wait_for(lambda log=log: bool(reported(log, "ping")), "a ping")  # type: ignore[misc]
                first, second = reported(log, "token")[0], reported(log, "ping")[0]
                found.append(first.duration - second.duration)
    return found


def scraped(directory: Path) -> ScrapeCosts:
    """Fifty at once, of both in turns; then one after the other, without and with two hundred who say nothing."""
    with serving([DELAY, DELAY], directory) as target:
        token, ping = target.ports
        with exporter(target, token, directory) as other, monitor(target, [(token, ping)] * 2, directory) as daemon:
            wait_for(lambda: _made(daemon) >= 4, "the daemon is under way")
            ours, theirs = [], []
            for _ in range(STORMS):
                ours.append(storm(daemon.port, PARALLEL, _EACH))
                theirs.append(storm(other.port, PARALLEL, _EACH))
            alone = storm(daemon.port, 1, ALONE)
            with silent(daemon.port, SILENT):
                beside = storm(daemon.port, 1, ALONE)
            return ScrapeCosts(_together(ours), _together(theirs), alone, beside)


def _together(storms: list[Scrapes]) -> Scrapes:
    durations = tuple(duration for each in storms for duration in each.durations)
    return Scrapes(durations, sum(each.failures for each in storms))
