"""What the daemon costs: time from start to the first answer, resident memory, processor time per exchange.

`python -m benchmarks.cost` watches two simulated environments, at four exchanges a second, until it has made 2,000.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

from monitor.simulator import Simulator
from tests.process import Monitor

SETTINGS = {"TIGR_PING_INTERVAL": "1s", "TIGR_AUTH_INTERVAL": "1s", "TIGR_RENEW_MARGIN": "1s"}
STARTS = 5


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Simulator() as simulator:
        starts = [_start(simulator, Path(directory)) for _ in range(STARTS)]
        with Monitor(simulator.settings() | SETTINGS, Path(directory)) as monitor:
            process = Path(f"/proc/{monitor.process.pid}")
            base = simulator.log.requests()
            simulator.log.wait_for_requests(base + 20, 60)
            before, cpu = simulator.log.requests(), _cpu(process)
            simulator.log.wait_for_requests(base + options.exchanges, options.exchanges)
            cpu_each = (_cpu(process) - cpu) / (simulator.log.requests() - before)
            resident = _resident(process)
    figures = {
        "python": platform.python_version(),
        "exchanges": options.exchanges,
        "start_seconds_median": round(statistics.median(starts), 3),
        "resident_megabytes": round(resident / 1e6, 1),
        "cpu_milliseconds_per_exchange": round(cpu_each * 1000, 2),
    }
    print(json.dumps(figures, indent=2))


def _start(simulator: Simulator, directory: Path) -> float:
    began = time.monotonic()
    with Monitor(simulator.settings() | SETTINGS, directory):
        return time.monotonic() - began


def _cpu(process: Path) -> float:
    """Seconds of processor time, of user and system together."""
    user, system = process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _resident(process: Path) -> int:
    """Bytes of resident memory."""
    status = dict(line.split(":", 1) for line in process.joinpath("status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024


if __name__ == "__main__":
    main()
