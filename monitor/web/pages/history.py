"""The last probes of an endpoint: one image with a bar for each, and a table with the same content."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from markupsafe import Markup, escape

from monitor.model import Phase, Reason
from monitor.reporting.incident import ProbeRecord
from monitor.reporting.words import telling_phase
from monitor.web.pages.texts import duration, visible

_BARS = 60
_STEP = 4  # units of the image per bar
_HEIGHT = 32  # units of the image
_MIN_HEIGHT = 3  # units: the bar of the fastest probe
_MAX_ROWS = 2000  # kept: those of 16 endpoints
_MAX_DETAIL = 200  # characters of a server's text in the table


def image(records: Sequence[ProbeRecord], noun: str) -> Markup:
    """Return the bars of the last probes, whose height is the duration. A failure has the full height and a dot.

    The text alternative has the numbers and durations. `noun` is the plural of the probe.
    """
    shown = records[-_BARS:]
    slowest = max((each.duration for each in shown if each.reason is None), default=0.0) or 1.0
    first = (_BARS - len(shown)) * _STEP + _STEP // 2
    bars, failures, dots = list[str](), list[str](), list[str]()
    for x, each in zip(range(first, _BARS * _STEP, _STEP), shown, strict=True):
        if each.reason is None:
            height = _MIN_HEIGHT + (_HEIGHT - _MIN_HEIGHT) * min(1.0, each.duration / slowest)
            bars.append(f"M{x} {_HEIGHT}v-{height:.1f}")
        else:
            failures.append(f"M{x} {_HEIGHT}V8")
            dots.append(f"M{x} 3v1")
    paths = "".join(
        f'<path class="{name}" d="{"".join(parts)}"/>'
        for name, parts in (("bar", bars), ("bar failed", failures), ("dot", dots))
        if parts
    )
    view_box, label = f"0 0 {_BARS * _STEP} {_HEIGHT}", escape(summary(shown, noun))
    size = f'viewBox="{view_box}" preserveAspectRatio="none"'
    return Markup(  # noqa: S704 - numbers, and a text that is escaped
        f'<svg class="history" {size} role="img" aria-label="{label}">{paths}</svg>'
    )


def summary(records: Sequence[ProbeRecord], noun: str) -> str:
    """Return the content of the image in one sentence."""
    if not records:
        return f"No {noun} yet."
    durations = [each.duration for each in records if each.reason is None]
    failed = len(records) - len(durations)
    counts = f"{last(len(records), noun)}: {len(durations)} succeeded, {failed} failed"
    if not durations:
        return f"{counts}."
    return f"{counts}; median {duration(median(durations))}, slowest {duration(max(durations))}."


def last(count: int, noun: str) -> str:
    """Return `Last 60 pings`, or `Last ping`. `noun` is the plural of the probe."""
    return f"Last {count} {noun}" if count != 1 else f"Last {noun.removesuffix('s')}"


def rows(records: Sequence[ProbeRecord]) -> Markup:
    """Return the rows of the table, newest first: time, result, duration.

    A new probe adds one row to those that are known. Plain string formatting: a template takes ten times as long.
    """
    parts = [_row(each.started_at, each.duration, _Outcome.of(each)) for each in reversed(records)]
    return Markup("".join(parts))  # noqa: S704 - numbers, and texts that are escaped


class _Outcome(NamedTuple):
    """The values that decide the text of a result."""

    reason: Reason | None
    failed_phase: Phase | None
    status: int | None
    detail: str

    @classmethod
    def of(cls, record: ProbeRecord) -> _Outcome | None:
        """Return the outcome of a failure, None for a success."""
        if record.reason is None:
            return None
        return cls(record.reason, record.failed_phase, record.status, record.detail)


@functools.lru_cache(maxsize=_MAX_ROWS)
def _row(started_at: float, seconds: float, outcome: _Outcome | None) -> str:
    result = "success" if outcome is None else f'<span class="bad">{escape(failure_text(outcome))}</span>'
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(started_at)))
    return f"<tr><td>{clock}</td><td>{result}</td><td>{duration(seconds)}</td></tr>"


def failure_text(record: ProbeRecord | _Outcome) -> str:
    """Return the result of a failed probe: reason, phase, status and the server's message."""
    telling = telling_phase(record.reason, record.failed_phase, record.status) if record.reason else None
    phase = f" in the phase {telling}" if telling else ""
    status = f", status {record.status}" if record.status else ""
    detail = f": {visible(record.detail, _MAX_DETAIL)}" if record.detail else ""
    return f"{record.reason}{phase}{status}{detail}"
