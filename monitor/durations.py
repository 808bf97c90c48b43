"""Durations as Prometheus writes them: `90s`, `5m`, `1h30m`; and plain seconds."""

from __future__ import annotations

import re

MOST = 86400.0  # seconds: a watch that looks less than once a day watches nothing

_UNITS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}  # seconds
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_COMPOUND = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,12}}){unit})?" for unit in (*_UNITS, "ms")))


def parse(value: object, least: float = 0.0) -> float:
    """Return `value` in seconds, from `least` up to a day.

    Units go from the largest to the smallest, each at most once, in whole numbers, as in Prometheus' own settings
    (y, w, d, h, m, s, ms). Raises `ValueError` with a message for the operator, which does not repeat `value`.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("must be a duration such as 90s, 5m or 1h30m, or a number of seconds")
    if not least <= seconds <= MOST:
        raise ValueError(f"must be between {text(least)} and {text(MOST)}")
    return float(seconds)


def text(seconds: float) -> str:
    """Return `seconds` as Prometheus would write them, to the millisecond."""
    rest = round(seconds * 1000)
    parts = []
    for unit in "dhms":
        count, rest = divmod(rest, _UNITS[unit] * 1000)
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        parts.append(f"{rest}ms")
    return "".join(parts) or "0s"


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not value:
        return None
    if _PLAIN.fullmatch(value):
        return float(value)
    match = _COMPOUND.fullmatch(value)
    if match is None:
        return None
    whole = sum(int(match[unit] or 0) * seconds for unit, seconds in _UNITS.items())
    return whole + int(match["ms"] or 0) / 1000
