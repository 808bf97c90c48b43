"""Durations in the format of Prometheus (`90s`, `5m`, `1h30m`), in plain seconds, and for people (`6 min 40 s`)."""

from __future__ import annotations

import re

MAX_DURATION = 86400.0  # seconds; a probe that runs less than once a day does not monitor anything

_UNITS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}  # seconds
_UNITS_FOR_PEOPLE = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))  # seconds
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_COMPOUND = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,12}}){unit})?" for unit in (*_UNITS, "ms")))


def parse(value: object, minimum: float = 0.0, maximum: float = MAX_DURATION) -> float:
    """Return `value` in seconds, from `minimum` up to `maximum`.

    Units go from the largest to the smallest, each at most once, in whole numbers, as in the configuration of
    Prometheus (y, w, d, h, m, s, ms). Raises `ValueError` with a message that does not quote `value`.
    """
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("must be a duration such as 90s, 5m or 1h30m, or a number of seconds")
    if not minimum <= seconds <= maximum:
        raise ValueError(f"must be between {text(minimum)} and {text(maximum)}")
    return float(seconds)


def text(seconds: float) -> str:
    """Return `seconds` in the format of Prometheus, rounded to milliseconds."""
    remainder = round(seconds * 1000)
    parts = []
    for unit in "dhms":
        count, remainder = divmod(remainder, _UNITS[unit] * 1000)
        if count:
            parts.append(f"{count}{unit}")
    if remainder:
        parts.append(f"{remainder}ms")
    return "".join(parts) or "0s"


def span(seconds: float, *, smallest: str = "s") -> str:
    """Return a duration in its two largest units, for example `6 min 40 s`, rounded down to the `smallest` unit."""
    rest, parts = max(0, int(seconds)), list[str]()
    for unit, size in _UNITS_FOR_PEOPLE:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if unit == smallest or len(parts) == 2:
            break
    return " ".join(filter(None, parts)) or f"0 {smallest}"


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
