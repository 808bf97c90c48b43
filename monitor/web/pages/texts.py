"""Values as texts for a reader: times, durations, shares, and texts of servers without invisible characters."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass

from monitor.reporting.words import counted

MAX_SHOWN = 1200  # characters of a server's text; the monitor keeps at most 1,024 of a response
_DAY = 86_400  # seconds
_MAX_TIME = 253_402_300_799  # Unix seconds: the end of the year 9999
# Controls except tab and line feed, format characters that reorder or hide text, surrogates, and tags.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time for a reader, for programs, and for the script, which adds its age."""

    text: str  # 2026-11-30 02:14:05 UTC
    iso: str  # 2026-11-30T02:14:05Z
    seconds: int  # Unix time


def moment(seconds: float | None) -> Moment | None:
    """Return a time in Unix seconds as a moment; None if there is none, or if it is beyond the year 9999."""
    if seconds is None or not 0 <= seconds <= _MAX_TIME:
        return None
    whole = int(seconds)
    day, clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole)).split()
    return Moment(f"{day} {clock} UTC", f"{day}T{clock}Z", whole)


def duration(seconds: float) -> str:
    """Return the duration of a request: `81 ms`, or `1.25 s` from one second on."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def percent(share: float) -> str:
    """Return a share as percent, rounded down, so that an outage never reads as 100 %."""
    return "100 %" if share >= 1 else f"{math.floor(share * 10_000) / 100:.2f} %"


def days_left(expiry: float, now: float) -> str:
    """Return the time until an expiry in whole days."""
    days = math.floor((expiry - now) / _DAY)
    if days < 0:
        return f"expired {counted(-days - 1, 'day')} ago" if days < -1 else "expired"
    return f"valid for {counted(days, 'day')}" if days else "valid for less than 1 day"


def visible(text: str, limit: int = MAX_SHOWN) -> str:
    """Return a text of a server with its invisible characters as escapes, cut after `limit` characters."""
    shown = text[:limit].replace("\r\n", "\n")
    if not shown.isprintable():
        shown = _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", shown)
    return shown if len(text) <= limit else f"{shown} … ({len(text):,} characters; the rest is left out)"
