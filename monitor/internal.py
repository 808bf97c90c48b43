"""A fault of the monitor's own, told without a quotation: an exception's message may hold what must not be shown."""

from __future__ import annotations

import traceback
from pathlib import Path

from monitor.result import Endpoint, Reason, Result


def place_of(error: BaseException) -> str:
    """Say which exception was raised where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


def internal_fault(
    environment: str, endpoint: Endpoint, started_at: float, duration: float, error: BaseException
) -> Result:
    """Return the Result of a probe that an exception has ended; times in Unix seconds and seconds."""
    return Result(
        environment=environment,
        endpoint=endpoint,
        started_at=started_at,
        duration=duration,
        reason=Reason.INTERNAL,
        detail=place_of(error),
    )
