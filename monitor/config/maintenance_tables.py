"""The `[[maintenance]]` tables of the TOML file: validate them, and return the windows of each environment.

They are a list, so neither a variable nor a secret file can set them. No message quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from monitor import durations
from monitor.config.maintenance import MaintenanceWindow
from monitor.config.sources import SourceValue, printable

MAINTENANCE = "maintenance"  # the name of the tables
# Seconds. A window silences the alerts of its environment, so a wrong month or year must not be accepted.
MAX_WINDOW = 7 * 86400.0
_FIELDS = ("environment", "begin", "end")
_YEARS = range(2000, 9999)  # other years are typing errors, and every offset keeps these in the range of a datetime
_EXAMPLE = "such as 2030-01-31T22:00:00+01:00"
_NO_DATE_TIME = f"must be a date and time with an offset, {_EXAMPLE}"
_NO_OFFSET = f"has no offset from UTC; end it with Z or an offset, {_EXAMPLE}"
# RFC 3339 section 5.6. The offset is optional here, so that its absence gets a message of its own.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)

Windows = dict[str, tuple[MaintenanceWindow, ...]]  # by environment, in the order of time


@dataclass(frozen=True, slots=True)
class _Table:
    """One valid table, with its number in the file, from 1."""

    number: int
    environment: str
    window: MaintenanceWindow


class _Problems:
    """Collects the problems of one file, as messages that begin with their location."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.messages: list[str] = []

    def add(self, number: int, field: str | None, text: str) -> None:
        location = f"maintenance {number} in {self._source}"
        self.messages.append(f"{f'{field} of ' if field else ''}{location}: {text}")


def read(value: SourceValue | None, environments: Collection[str] | None) -> tuple[Windows, list[str]]:
    """Return the windows in the value of the tables, and the problems. None for `value`: there are no tables.

    `environments` are the names of all environments, disabled ones included; None: they are not known, because a source
    could not be read.
    """
    if value is None:
        return {}, []
    if not isinstance(value.value, list) or not all(isinstance(table, dict) for table in value.value):
        return {}, [f"{value.name}: must be [[maintenance]] tables, each with environment, begin and end"]
    problems = _Problems(value.source.removeprefix("file "))
    tables = [
        table
        for number, raw in enumerate(cast("list[dict[str, object]]", value.value), 1)
        if (table := _table(number, raw, environments, problems)) is not None
    ]
    _check_overlaps(tables, problems)
    windows = {
        name: tuple(sorted(table.window for table in tables if table.environment == name))
        for name in sorted({table.environment for table in tables})
    }
    return windows, problems.messages


def _table(
    number: int, raw: Mapping[str, object], environments: Collection[str] | None, problems: _Problems
) -> _Table | None:
    """Return one table; None if it has a problem."""
    before = len(problems.messages)
    values: dict[str, object] = {}
    for name, value in raw.items():
        key = name.lower()
        if key not in _FIELDS:
            problems.add(number, printable(name), "there is no such key; the keys are environment, begin and end")
            continue
        if key in values:
            problems.add(number, key, "is written twice; keep one of them")
        values[key] = value
    parsed: dict[str, str | datetime] = {}
    for field in _FIELDS:
        if field not in values:
            problems.add(number, field, "is missing")
            continue
        try:
            parsed[field] = (
                _environment(values[field], environments) if field == "environment" else _moment(values[field])
            )
        except ValueError as error:
            problems.add(number, field, str(error))
    if isinstance(begin := parsed.get("begin"), datetime) and isinstance(end := parsed.get("end"), datetime):
        window = MaintenanceWindow(begin.timestamp(), end.timestamp())
        if problem := _length_problem(window):
            problems.add(number, "end", problem)
        elif len(problems.messages) == before:
            return _Table(number, str(parsed["environment"]), window)
    return None


def _environment(value: object, environments: Collection[str] | None) -> str:
    if not isinstance(value, str):
        raise ValueError("must be the name of an environment, in quotes")  # noqa: TRY004 - collected with the others
    name = value.lower()
    if environments is not None and name not in environments:
        raise ValueError(f"is none of the environments; these are {', '.join(sorted(environments))}")
    return name


def _moment(value: object) -> datetime:
    """Return an offset date-time of TOML, or a text in the form of RFC 3339."""
    if isinstance(value, str):
        if not _DATE_TIME.fullmatch(value.upper()):
            raise ValueError(_NO_DATE_TIME)
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            raise ValueError(f"must be a date and time that exists, {_EXAMPLE}") from None
    if not isinstance(value, datetime):  # a date or a time alone is no datetime
        raise ValueError(_NO_DATE_TIME)  # noqa: TRY004 - as above
    if value.tzinfo is None:
        raise ValueError(_NO_OFFSET)
    if value.year not in _YEARS:
        raise ValueError(f"must be in a year from {_YEARS[0]} to {_YEARS[-1]}")
    return value


def _length_problem(window: MaintenanceWindow) -> str | None:
    if window.end <= window.begin:
        return "must be later than begin"
    if window.end - window.begin > MAX_WINDOW:
        return (
            f"is more than {durations.text(MAX_WINDOW)} after begin; correct the date, or write windows that follow "
            "each other"
        )
    return None


def _check_overlaps(tables: Collection[_Table], problems: _Problems) -> None:
    """Report each window that begins before an earlier one of the same environment ends."""
    latest: dict[str, _Table] = {}  # the window with the latest end so far, by environment
    for table in sorted(tables, key=lambda each: each.window):
        before = latest.get(table.environment)
        if before is not None and table.window.begin < before.window.end:
            first, second = sorted((before.number, table.number))
            text = f"overlaps maintenance {first}, of the same environment; correct the times, or join both"
            problems.add(second, None, text)
        if before is None or table.window.end > before.window.end:
            latest[table.environment] = table
