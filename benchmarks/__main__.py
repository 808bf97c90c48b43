"""Compare this monitor with blackbox_exporter, using a packet capture as the reference: `make bench`.

Print a table, write all figures as JSON, and draw a plot. Exit with status 1 if a figure misses its bound.
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

from benchmarks import accuracy, cost, growth, page, redaction
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
    """Measure, write the results, and return 1 if a figure misses its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement (default: 60)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory for the JSON file and the plot")
    options = parser.parse_args()
    if problem := _missing():
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        figures, points, versions = _measure(options.seconds, Path(directory))
    from benchmarks.plot import draw  # only `make bench` installs matplotlib

    options.results.mkdir(exist_ok=True)
    report = {
        "machine": machine(),
        "versions": versions,
        "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures],
        "growth": [asdict(point) for point in points],
    }
    (options.results / "results.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    draw(points, options.results / "environments.svg")
    print(table(figures), end="")
    return 1 if any(figure.met is False for figure in figures) else 0


def _missing() -> str | None:
    """Return the missing programs or rights with their remedy; None if nothing is missing."""
    programs = {NGINX: "nginx", PROGRAM: PROGRAM, "tcpdump": "tcpdump", "ab": "apache2-utils"}
    packages = [package for program, package in programs.items() if not shutil.which(program)]
    packages += [] if MODULE.exists() else ["libnginx-mod-http-echo"]
    if packages:
        return f"not installed: {', '.join(packages)}. On Debian: apt-get install {' '.join(packages)}"
    return None if os.geteuid() == 0 else "capturing packets needs root: run the command as root"


def _measure(seconds: float, directory: Path) -> tuple[list[Figure], list[Point], dict[str, str]]:
    _log_step("accuracy: without scrapes, with one scrape per second, and with parallel scrapes")
    exact = accuracy.measure(seconds, directory)
    figures = [*_accuracy(exact)]
    _log_step("first exchanges, and starts")
    firsts, starts = cost.first_exchanges(directory), cost.starts(directory)
    _log_step(f"{cost.EXCHANGES} exchanges")
    running = cost.running(directory)
    _log_step("scrapes")
    scraped = cost.scraped(directory)
    figures += _cost(firsts, starts, running, scraped)
    _log_step("redaction, and failing neighbours")
    figures += redaction_figures(redaction.cleaning(), redaction.disturbance(seconds, directory))
    _log_step("the status page")
    figures += page_figures(page.renderings(), page.errors(seconds, directory / "page"))
    points = []
    for number in growth.NUMBERS:
        _log_step(f"{number} environments on one core")
        points.append(growth.measure(number, seconds, directory / f"of-{number}"))
    figures += _growth(points)
    versions = {"tigr-monitor": __version__, "blackbox_exporter": exact.version, "nginx": exact.nginx}
    return figures, points, versions


def _log_step(step: str) -> None:
    print(f"bench: {step}", file=sys.stderr, flush=True)


def _accuracy(result: Accuracy) -> list[Figure]:
    """Return the differences between reported and captured durations."""
    slow, fast = accuracy.DELAY, 0.0
    ours = {delay: _errors(result.quiet[delay]) for delay in (slow, fast)}
    theirs = {delay: _errors(result.exporter[delay]) for delay in (slow, fast)}
    phases = _errors(result.exporter_phases[slow])
    scraped, stormed = _errors(result.scraped), _errors(result.stormed)
    processing = [
        Spread.of([each.processing_error * _MS for each in of[slow]]) for of in (result.quiet, result.exporter)
    ]
    every = [*result.quiet[slow], *result.quiet[fast], *result.scraped, *result.stormed]
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


def _moved(load: str, quiet: Spread, disturbed: Spread, limit: float) -> Figure:
    moved = disturbed.median - quiet.median
    bound = f"less than {limit:g} ms either way"
    return Figure(
        f"median of the same, moved by {load}", "ms", moved, None, disturbed.samples, bound, abs(moved) < limit
    )


def _within(name: str, ours: Spread, theirs: Spread, limit: float) -> Figure:
    bound = f"within {limit:g} ms"
    return Figure(name, "ms", ours.median, theirs.median, ours.samples, bound, abs(ours.median) <= limit)


def _cost(firsts: list[float], starts: list[float], running: Running, scraped: ScrapeCosts) -> list[Figure]:
    """Return the cost in processor time, memory and time."""
    ours, theirs = (Spread.of([each * _MS for each in of.durations]) for of in (scraped.ours, scraped.theirs))
    alone, with_silent = (
        Spread.of([each * _MS for each in of.durations]) for of in (scraped.alone, scraped.with_silent)
    )
    failures = scraped.ours.failures + scraped.alone.failures + scraped.with_silent.failures
    scrapes = ours.samples + alone.samples + with_silent.samples
    slower = with_silent.median - alone.median
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
        Figure("`/metrics`: scrapes that failed", "", failures, None, scrapes, "none", failures == 0),
        Figure(
            f"`/metrics`: median with {cost.SILENT} silent clients, minus that without them",
            "ms",
            slower,
            None,
            with_silent.samples,
            "at most 2 ms",  # ab reports whole milliseconds
            slower <= 2,
        ),
        at_most(f"resident memory after {cost.EXCHANGES} exchanges", "MB", running.resident / _MB, 52),
        at_most("start until `/metrics` answers, median", "s", start, 0.6, samples=len(starts)),
    ]


def redaction_figures(spreads: dict[str, Spread], disturbance: redaction.Disturbance) -> list[Figure]:
    """Return the cost of redaction with four tokens of 16 kB, and its effect on other environments."""
    slowest, spread = redaction.worst(spreads)
    moved = (disturbance.disturbed.median - disturbance.alone.median) * _MS
    grown, name = disturbance.resident / _MB, f"{redaction.NEIGHBOURS} failing neighbours with tokens of 16 kB"
    samples = disturbance.disturbed.samples
    return [
        at_most(
            f"redaction of 1,024 characters, worst ({slowest}): median",
            "ms",
            spread.median * _MS,
            1,
            samples=spread.samples,
        ),
        Figure(f"{name}: median of a ping, moved", "ms", moved, None, samples, "less than 0.5 ms", moved < 0.5),
        Figure(f"{name}: resident memory, grown", "MB", grown, None, 1, "less than 5 MB", grown < 5),
    ]


def page_figures(rendered: page.Renderings, errors: page.Errors) -> list[Figure]:
    """Return the time of a rendering, and the error of the probes while readers have the page open."""
    name = f"reported minus wire with {page.READERS} readers of the status page"
    count = len(errors.read)
    moved = (page.quantile(errors.read, 0.99) - page.quantile(errors.alone, 0.99)) * _MS
    rows = [
        Figure(f"{name}: {text}", "ms", page.quantile(errors.read, share) * _MS, None, count)
        for text, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
    rendering = "rendering of 30 environments"
    return [
        *rows,
        Figure(f"{name}: p99, moved", "ms", moved, None, count, "less than 1 ms", moved < 1),
        at_most(f"{rendering}, median", "ms", rendered.later.median * _MS, 5, samples=rendered.later.samples),
        Figure(f"{rendering}: all sections", "ms", rendered.new * _MS),
        Figure(f"{rendering}: the first of a process", "ms", rendered.first * _MS),
    ]


def _growth(points: list[Point]) -> list[Figure]:
    """Return the effect of 100 environments on the schedule and the accuracy."""
    few, many = (next(point for point in points if point.environments == number) for number in (2, 100))
    moved = (many.error.median - few.error.median) * _MS
    name = "100 environments on one core"
    return [
        at_most(f"{name}: delay of runs, p99", "ms", many.delay.p99 * _MS, 50, samples=many.delay.samples),
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
