"""Times, durations and steps in the words of a sentence."""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.model import Endpoint, Phase, Reason

PLURAL = {Endpoint.TOKEN: "logins", Endpoint.PING: "pings"}


def moment(wall: float, now: float) -> str:
    """Return Unix seconds as `02:14 UTC`, with the date if it is not that of `now`."""
    time, today = datetime.fromtimestamp(wall, UTC), datetime.fromtimestamp(now, UTC)
    return f"{time:%H:%M} UTC" if time.date() == today.date() else f"{time:%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return seconds as `6 min 40 s`: the two largest units, rounded down."""
    remainder = int(max(0.0, seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, remainder = divmod(remainder, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def telling_phase(reason: Reason, phase: Phase | None, status: int | None) -> Phase | None:
    """Return the phase of a failure; None if the reason or the status already names the step."""
    if phase is None or phase.value == reason.value:
        return None
    has_response = status is not None and reason not in (Reason.TIMEOUT, Reason.DISCONNECT)
    return None if has_response else phase


def counted(count: int, name: str) -> str:
    """Return a number with its noun, for example `1 request` or `2 requests`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
