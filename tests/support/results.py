"""Results for tests: a test names a value, and the value finds its part of the `Result`."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from monitor.model import Endpoint, Measurement, Result, RunOutcome, Verdict

_PARTS = {"measurement": Measurement, "verdict": Verdict, "run": RunOutcome}
_PART_OF = {field.name: part for part, values in _PARTS.items() for field in fields(values)}


def make_result(endpoint: Endpoint = Endpoint.PING, environment: str = "prod", **values: object) -> Result:
    """Return a Result with these values; without a `reason` it is a success. The default duration is 0.1 s."""
    return vary(Result(environment, endpoint, Measurement(started_at=0.0, duration=0.1)), **values)


def vary(base: Result, **values: object) -> Result:
    """Return a copy of `base` with these values, each in the part that it belongs to."""
    changes: dict[str, dict[str, Any]] = {}
    direct: dict[str, Any] = {}
    for name, value in values.items():
        part = _PART_OF.get(name)
        (direct if part is None else changes.setdefault(part, {}))[name] = value
    parts = {part: replace(getattr(base, part), **named) for part, named in changes.items()}
    return replace(base, **parts, **direct)
