"""Measure this monitor against blackbox_exporter, with a packet capture as the truth: `make bench`.

Prints a table, writes it with all its figures as JSON, and a plot. Status 1 when a figure misses what it has to reach.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import accuracy, cost, growth
from benchmarks.accuracy import Accuracy, Compared
from benchmarks.cost import Running, ScrapeCosts
from benchmarks.figures import Figure, Spread, at_most, at_most_times, machine, table
from benchmarks.growth import Point
from benchmarks.target import MODULE, NGINX
from monitor import __version__
from tests.support.blackbox import PROGRAM

RESULTS = Path(__file__).parent / "results"
_PER_PING = 1.1  # exchanges at the shipped intervals: a ping every 30 s, a login every 5 min
_MS = 1000.0
_MB = 1e6
_ROUND_TRIPS = 3  # TCP (RFC 9293), TLS 1.3 with a fresh session (RFC 8446 section 2), the request


def main() -> int:
    """Measure, tell, and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement (default: 60)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder for table, JSON and plot")
    options = parser.parse_args()
    if problem := _missing():
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        figures, points, versions = _measure(options.seconds, Path(directory))
    from benchmarks.plot import draw  # the tests do without what it takes

    options.results.mkdir(exist_ok=True)
    told = {
        "machine": machine(),
        "versions": versions,
        "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures],
        "growth": [asdict(point) for point in points],
    }
    (options.results / "results.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draw(points, options.results / "environments.svg")
    print(table(figures), end="")
    return 1 if any(figure.met is False for figure in figures) else 0


def _missing() -> str | None:
    """What is not there that is needed, and what to do."""
    programs = {NGINX: "nginx", PROGRAM: PROGRAM, "tcpdump": "tcpdump", "ab": "apache2-utils"}
    packages = [package for program, package in programs.items() if not shutil.which(program)]
    packages += [] if MODULE.exists() else ["libnginx-mod-http-echo"]
    if packages:
        return f"not installed: {', '.join(packages)}. On Debian: apt-get install {' '.join(packages)}"
    return None if os.geteuid() == 0 else "capturing packets takes root: run it as root"


def _measure(seconds: float, directory: Path) -> tuple[list[Figure], list[Point], dict[str, str]]:
    _say("accuracy: quiet, beside a scrape, and in a storm of them")
    exact = accuracy.measure(seconds, directory)
    figures = [*_accuracy(exact)]
    _say("first exchanges, and starts")
    firsts, starts = cost.first_exchanges(directory), cost.starts(directory)
    _say(f"{cost.EXCHANGES} exchanges")
    running = cost.running(directory)
    _say("scrapes")
    scraped = cost.scraped(directory)
    figures += _cost(firsts, starts, running, scraped)
    points = []
    for number in growth.NUMBERS:
        _say(f"{number} environments on one core")
        points.append(growth.measure(number, seconds, directory / f"of-{number}"))
    figures += _growth(points)
    versions = {"tigr-monitor": __version__, "blackbox_exporter": exact.version, "nginx": exact.nginx}
    return figures, points, versions


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _accuracy(found: Accuracy) -> list[Figure]:
    """How far from the wire."""
    slow, fast = accuracy.DELAY, 0.0
    ours = {delay: _errors(found.quiet[delay]) for delay in (slow, fast)}
    theirs = {delay: _errors(found.exporter[delay]) for delay in (slow, fast)}
    phases = _errors(found.exporter_phases[slow])
    scraped, stormed = _errors(found.scraped), _errors(found.stormed)
    processing = [Spread.of([each.processing_error * _MS for each in of[slow]]) for of in (found.quiet, found.exporter)]
    every = [*found.quiet[slow], *found.quiet[fast], *found.scraped, *found.stormed]
    least, trips = min(each.error * _MS for each in every), {each.round_trips for each in every}
    name = "reported minus wire, server of 20 ms"
    count = ours[slow].samples
    return [
        at_most_times(f"{name}: median", "ms", ours[slow].median, theirs[slow].median, 0.3, samples=count),
        at_most_times(f"{name}: p99", "ms", ours[slow].p99, theirs[slow].p99, 0.3, samples=count),
        Figure(f"{name}: median, theirs as the sum of its phases", "ms", ours[slow].median, phases.median, count),
        Figure(f"{name}: p99, theirs as the sum of its phases", "ms", ours[slow].p99, phases.p99, count),
        Figure("reported minus wire, server of 0 ms: median", "ms", ours[fast].median, theirs[fast].median, count),
        Figure("reported minus wire, server of 0 ms: p99", "ms", ours[fast].p99, theirs[fast].p99, count),
        Figure("reported minus wire: the least", "ms", least, None, len(every), "never negative", least >= 0),
        _moved("one scrape per second", ours[slow], scraped, 0.5),
        _moved(f"{accuracy.PARALLEL} parallel scrapes", ours[slow], stormed, 3),
        _within("`processing` minus the capture's, median", processing[0], processing[1], 0.3),
        Figure(
            "round trips of a login or a ping",
            "",
            max(trips),
            None,
            len(every),
            f"{_ROUND_TRIPS}: TCP, TLS 1.3, HTTP",
            trips == {_ROUND_TRIPS},
        ),
    ]


def _errors(group: Sequence[Compared]) -> Spread:
    return Spread.of([each.error * _MS for each in group])


def _moved(what: str, quiet: Spread, disturbed: Spread, limit: float) -> Figure:
    moved = disturbed.median - quiet.median
    bound = f"less than {limit:g} ms either way"
    return Figure(
        f"median of the same, moved by {what}", "ms", moved, None, disturbed.samples, bound, abs(moved) < limit
    )


def _within(name: str, ours: Spread, theirs: Spread, limit: float) -> Figure:
    bound = f"within {limit:g} ms"
    return Figure(name, "ms", ours.median, theirs.median, ours.samples, bound, abs(ours.median) <= limit)


def _cost(firsts: list[float], starts: list[float], running: Running, scraped: ScrapeCosts) -> list[Figure]:
    """What it takes from the machine."""
    ours, theirs = (Spread.of([each * _MS for each in of.durations]) for of in (scraped.ours, scraped.theirs))
    alone, beside = (Spread.of([each * _MS for each in of.durations]) for of in (scraped.alone, scraped.beside_silent))
    failures = scraped.ours.failures + scraped.alone.failures + scraped.beside_silent.failures
    asked = ours.samples + alone.samples + beside.samples
    slower = beside.median - alone.median
    first, start = statistics.median(firsts) * _MS, statistics.median(starts)
    cpu, ping, login = (each * _MS for each in (running.cpu, running.exporter_ping_cpu, running.exporter_login_cpu))
    made, name = running.exchanges, "processor time per exchange"
    return [
        at_most("first exchange of a process minus its second, median", "ms", first, 5, samples=len(firsts)),
        at_most_times(name, "ms", cpu, ping, 1, samples=made),
        Figure(f"{name}, theirs with its own logins", "ms", cpu, login, made),
        Figure(f"{name}: Python's `socket` and `ssl` alone", "ms", running.plain_cpu * _MS, None, cost.ALONE),
        Figure("processor time per ping, with the logins that go with it", "ms", cpu * _PER_PING, login * 2, made),
        at_most_times(
            f"`/metrics`, {cost.PARALLEL} parallel scrapes: p99", "ms", ours.p99, theirs.p99, 3, samples=ours.samples
        ),
        Figure("`/metrics`: scrapes that failed", "", failures, None, asked, "none", failures == 0),
        Figure(
            f"`/metrics`: median beside {cost.SILENT} silent clients, minus that without them",
            "ms",
            slower,
            None,
            beside.samples,
            "at most 2 ms",  # it is told in whole milliseconds
            slower <= 2,
        ),
        at_most(f"resident memory after {cost.EXCHANGES} exchanges", "MB", running.resident / _MB, 52),
        at_most("start until `/metrics` answers, median", "s", start, 0.6, samples=len(starts)),
    ]


def _growth(points: list[Point]) -> list[Figure]:
    """What a hundred environments do to the schedule and the measurement."""
    few, many = (next(point for point in points if point.environments == number) for number in (2, 100))
    moved = (many.error.median - few.error.median) * _MS
    name = "100 environments on one core"
    return [
        at_most(f"{name}: delay of turns, p99", "ms", many.delay.p99 * _MS, 50, samples=many.delay.samples),
        Figure(
            f"{name}: median of reported minus wire, minus that of 2",
            "ms",
            moved,
            None,
            many.error.samples,
            "within 0.2 ms",
            abs(moved) <= 0.2,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
