"""The results of the benchmarks: figures with their bounds, and the properties of the machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spread:
    """A number of samples in three figures."""

    median: float
    p99: float
    least: float
    samples: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one sample."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[0], len(ordered))


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table; None means not applicable."""

    name: str
    unit: str
    ours: float
    theirs: float | None = None  # blackbox_exporter's, in the same run
    samples: int = 1  # of ours
    bound: str = ""  # as text; empty if there is none
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Return our value divided by theirs; None if there is none."""
        return self.ours / self.theirs if self.theirs else None


def at_most(name: str, unit: str, ours: float, limit: float, *, samples: int = 1) -> Figure:
    """Return a figure with a fixed upper limit."""
    return Figure(name, unit, ours, None, samples, f"at most {limit:g} {unit}".strip(), ours <= limit)


def at_most_times(  # noqa: PLR0913 - the columns of a row
    name: str, unit: str, ours: float, theirs: float, factor: float, *, samples: int
) -> Figure:
    """Return a figure with an upper limit of `factor` times the value of blackbox_exporter."""
    bound = "at most theirs" if factor == 1 else f"at most {factor:g} times theirs"
    return Figure(name, unit, ours, theirs, samples, bound, ours <= factor * theirs)


def machine() -> dict[str, str]:
    """Return the properties of this machine: processor, cores, memory, kernel, Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    total_kib = Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(total_kib) / 2**20:.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [
        "| figure | tigr-monitor | blackbox_exporter | ratio | samples | to reach |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for each in figures:
        theirs = "" if each.theirs is None else _number(each.theirs, each.unit)
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        missed = " **(missed)**" if each.met is False else ""
        cells = [each.name, _number(each.ours, each.unit), theirs, ratio, str(each.samples), each.bound + missed]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _number(value: float, unit: str) -> str:
    """Return a value with three significant digits, or all digits before the decimal point."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()
