"""The plot of cost and accuracy over the number of environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.growth import Point

_COLOUR = "#1f5f8b"
_PANELS: dict[str, Callable[[Point], float]] = {
    "processor, % of one core": lambda point: point.cpu * 100,
    "resident memory, MB": lambda point: point.resident / 1e6,
    "delay of runs, p99, ms": lambda point: point.delay.p99 * 1000,
    "error, median, ms": lambda point: point.error.median * 1000,
}


def draw(points: Sequence[Point], file: Path) -> None:
    """Draw one panel per figure over the number of environments as SVG; equal points give equal bytes."""
    with mpl.rc_context({"svg.hashsalt": "tigr-monitor", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        for axes, (title, value) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
            numbers, values = [point.environments for point in points], [value(point) for point in points]
            axes.plot(numbers, values, marker="o", color=_COLOUR)
            for number, height in zip(numbers, values, strict=True):
                axes.annotate(f"{height:.3g}", (number, height), textcoords="offset points", xytext=(0, 6), ha="center")
            axes.set_xscale("log")
            axes.set_xticks(numbers, [str(number) for number in numbers], minor=False)
            axes.set_xticks([], minor=True)
            axes.margins(x=0.18)
            axes.set_ylim(0, max(values) * 1.25)
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("environments")
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(file, format="svg", metadata={"Date": None})
