"""Content of the journal's database, and the errors of its file."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.model import Endpoint
from monitor.reporting.incident import Incident

TotalsRow = tuple[tuple[str, Endpoint], int, float, float]  # host, hour or day since 1970, observed and down seconds


class DamagedJournalError(Exception):
    """The file is no database, or a part of it is damaged."""


class NewerJournalError(Exception):
    """A newer version of the monitor has written the file."""


class UnusableJournalError(Exception):
    """The file cannot be opened, read or written, although it may be sound. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class LoadedJournal:
    """Content of the database that is kept in memory."""

    last_number: int
    incidents: tuple[Incident, ...]  # the open ones, and the most recent ones
    hours: tuple[TotalsRow, ...]  # of the last day
    days: tuple[TotalsRow, ...]  # all, in the order of time
