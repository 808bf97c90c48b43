"""Soak test: many exchanges with random faults, then the resources of the process are compared with those at the start.

`python -m tests.soak --exchanges 100000` prints the figures; the exit status is 1 if a bound is exceeded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.simulator import Simulator
from monitor.simulator.faults import (
    Body,
    Certificate,
    ChunkedBroken,
    GzipBomb,
    HangAfterHandshake,
    HangMidBody,
    HostFault,
    NotHttp,
    Refuse,
    Reset,
    Status,
)
from tests.support.harness import series
from tests.support.process import Monitor, status

ENVIRONMENTS = 40
FAULTS: tuple[HostFault, ...] = (
    Status(500),
    Status(401),
    Status(403),
    HangAfterHandshake(),
    HangMidBody(),
    Reset(),
    Refuse(),
    NotHttp(),
    ChunkedBroken(),
    GzipBomb(),
    Certificate(),
    Body(b"[]"),
)
SETTINGS = {
    "TIGR_PING_INTERVAL": "1s",
    "TIGR_AUTH_INTERVAL": "5s",
    "TIGR_CONFIRM_INTERVAL": "1s",
    "TIGR_TIMEOUT": "1s",
    "TIGR_RENEW_MARGIN": "1s",
    "TIGR_LOG_LEVEL": "error",
    # As in the unit for systemd and in the image: on a busy machine more threads overlap, and each gets an arena.
    "MALLOC_ARENA_MAX": "1",
}
PARTS = 3  # of the exchanges after the settled state
# Bytes of resident memory per part. A leak grows in every part; a busy machine grows once, because it has more threads.
MAX_GROWTH = 256 * 1024
# Bytes per exchange. The history (4 MB at most) takes 34 for a login or a failure until it is full, which it is not
# before the end of 100,000 exchanges, and the database of the journal keeps its pages in 2 MB. A lost object takes 50.
MAX_GROWTH_PER_EXCHANGE = 20
# The pools of runs and of lookups keep four idle threads each; the number depends on how many overlapped.
MAX_MORE_THREADS = 8


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """The resources of the process while no fault is active."""

    exchanges: int
    resident: int  # bytes
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of a soak test."""

    exchanges: int
    seconds: float
    samples: tuple[ResourceSample, ...]  # in the settled state, then after each part
    runs_due: int  # of pings
    runs_counted: int  # made, or counted as missed

    @property
    def growth(self) -> list[int]:
        """Return the growth of resident memory in each part, in bytes."""
        return [after.resident - before.resident for before, after in itertools.pairwise(self.samples)]

    @property
    def _unexplained(self) -> list[float]:
        """Return the growth in each part beyond the part of history and journal."""
        made = [after.exchanges - before.exchanges for before, after in itertools.pairwise(self.samples)]
        allowed = [MAX_GROWTH + MAX_GROWTH_PER_EXCHANGE * count for count in made]
        return [growth - limit for growth, limit in zip(self.growth, allowed, strict=True)]

    def complaints(self) -> list[str]:
        """Return a message for each exceeded bound."""
        settled, end = self.samples[0], self.samples[-1]
        exceeded = {
            f"resident memory grew in every part: by {self.growth} bytes": min(self._unexplained) > 0,
            f"file descriptors went from {settled.files} to {end.files}": end.files > settled.files,
            f"threads went from {settled.threads} to {end.threads}": end.threads > settled.threads + MAX_MORE_THREADS,
            f"{self.runs_due} pings were due, {self.runs_counted} were counted": self.runs_counted < self.runs_due,
        }
        return [complaint for complaint, is_true in exceeded.items() if is_true]


def soak(exchanges: int, settled_after: int, directory: Path, seed: int = 1) -> Figures:
    """Let the daemon make exchanges; return its resources after the first ones and after each further part."""
    chance = random.Random(seed)
    with Simulator([f"e{number:03}" for number in range(ENVIRONMENTS)]) as simulator:
        for environment in simulator.environments.values():
            environment.latency = 0.002
            environment.lifetime = 20
        with Monitor(simulator.settings() | SETTINGS, directory) as monitor:
            began = time.monotonic()
            samples = []
            for part in range(PARTS + 1):
                _run_until(settled_after + (exchanges - settled_after) * part // PARTS, simulator, chance)
                samples.append(_sample(simulator, monitor))
            seconds = time.monotonic() - began
            counts = series(monitor.metrics(), '^tigr_(requests|schedule_missed)_total.*"ping"')
    due = ENVIRONMENTS * (int(seconds) - 3)  # the first ping of each starts up to 1 s later, the last has not ended
    return Figures(simulator.log.requests(), seconds, tuple(samples), due, int(sum(counts.values())))


def _run_until(exchanges: int, simulator: Simulator, chance: random.Random) -> None:
    """Activate random faults for 0.2 s each until the simulator has received this many requests."""
    pause = threading.Event()
    environments = list(simulator.environments.values())
    while simulator.log.requests() < exchanges:
        environment = chance.choice(environments)
        faults = chance.choice((environment.token_faults, environment.api_faults))
        faults.set(chance.choice(FAULTS))
        pause.wait(0.2)
        chance.choice((environment, *environments)).revoke_tokens()
        if chance.random() < 0.7:
            environment.token_faults.clear()
            environment.api_faults.clear()
    for environment in environments:
        environment.token_faults.clear()
        environment.api_faults.clear()


def _sample(simulator: Simulator, monitor: Monitor) -> ResourceSample:
    """Return the minimum of files and threads and the median of memory over three seconds without a fault.

    Only root can list the files of a process that is not dumpable, but it exports their number itself.
    """
    pause = threading.Event()
    resident, files, threads = [], [], []
    for _ in range(20):
        pause.wait(0.15)
        fields = status(monitor.process.pid)
        resident.append(int(fields["VmRSS"].split()[0]) * 1024)
        threads.append(int(fields["Threads"]))
        files.append(int(monitor.value("process_open_fds") or 0))
    return ResourceSample(simulator.log.requests(), int(statistics.median(resident)), min(files), min(threads))


def main() -> int:
    """Run the soak test and print the figures as JSON; return 1 if a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=100_000)
    parser.add_argument("--settled-after", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = soak(options.exchanges, options.settled_after, Path(directory))
    print(json.dumps(asdict(figures) | {"growth": figures.growth, "complaints": figures.complaints()}, indent=2))
    return 1 if figures.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
