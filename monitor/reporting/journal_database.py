"""SQLite database of the journal: its file, its schema, and the statements. One thread uses it.

The file is opened with write-ahead logging and an exclusive lock, so that no other process and no shared memory is
involved. A damaged file is set aside. A full disk, missing permissions or a file of a newer version are no damage.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from monitor.model import Endpoint
from monitor.reporting import incident_json
from monitor.reporting.incident import Incident
from monitor.reporting.journal_content import (
    DamagedJournalError,
    LoadedJournal,
    NewerJournalError,
    TotalsRow,
    UnusableJournalError,
)
from monitor.reporting.uptime_sums import CACHED_HOURS, DAY, HOUR, MAX_AHEAD

FILE = "journal.sqlite3"
SET_ASIDE = "journal.damaged.sqlite3"
MAX_INCIDENTS = 10_000
MAX_AGE = 400 * DAY  # seconds, of incidents and of totals per day
MAX_AGE_OF_HOURS = 40 * DAY  # seconds
VERSION = 1  # of the schema
_SUFFIXES = ("", "-wal", "-shm", "-journal")  # of the files that belong to a database
_LOCK_TIMEOUT = 0.5  # seconds
_CHECKPOINT_PAGES = 200  # of the write-ahead log, 4 KiB each
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = f"""
CREATE TABLE incidents (
    number INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, endpoint TEXT NOT NULL,
    begin REAL NOT NULL, end REAL, content TEXT NOT NULL);
CREATE INDEX incidents_begin ON incidents (begin);
CREATE INDEX incidents_end ON incidents (end);
CREATE TABLE hours (
    environment TEXT NOT NULL, endpoint TEXT NOT NULL, hour INTEGER NOT NULL, observed REAL NOT NULL,
    down REAL NOT NULL, PRIMARY KEY (environment, endpoint, hour)) WITHOUT ROWID;
CREATE TABLE days (
    environment TEXT NOT NULL, endpoint TEXT NOT NULL, day INTEGER NOT NULL, observed REAL NOT NULL,
    down REAL NOT NULL, PRIMARY KEY (environment, endpoint, day)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""

Host = tuple[str, Endpoint]
Totals = Mapping[tuple[str, Endpoint, int], tuple[float, float]]  # observed and down seconds per endpoint and hour


class JournalDatabase:
    """An open database. All methods raise `DamagedJournalError` or `UnusableJournalError`."""

    def __init__(self, directory: Path) -> None:
        """Open or create the database, and check it. Raises `NewerJournalError`, too."""
        path = _prepare(directory)
        with _translated():
            self._connection = sqlite3.connect(
                f"file:{quote(path)}?mode=rw", uri=True, timeout=_LOCK_TIMEOUT, isolation_level=None
            )
        try:
            with _translated():
                self._configure()
        except BaseException:
            self.abandon()
            raise

    def _configure(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise NewerJournalError
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA cache_size = -256")  # KiB
        execute("PRAGMA temp_store = MEMORY")
        execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * 4096}")
        (text,) = execute("PRAGMA quick_check(1)").fetchone()
        if text != "ok":
            raise DamagedJournalError
        if version == 0:
            if execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise DamagedJournalError
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def load(self, now: float, most_recent: int) -> LoadedJournal:
        """Return the open incidents, the `most_recent` ones, and the totals that are kept in memory.

        Totals of a wall clock that was far ahead are left out.
        """
        with _translated():
            execute = self._connection.execute
            row = execute("SELECT seq FROM sqlite_sequence WHERE name = 'incidents'").fetchone()
            columns = "number, environment, endpoint, content"
            newest = execute(f"SELECT {columns} FROM incidents ORDER BY number DESC LIMIT ?", (most_recent,)).fetchall()  # noqa: S608
            is_open = execute(f"SELECT {columns} FROM incidents WHERE end IS NULL").fetchall()  # noqa: S608
            oldest_hour, latest_day = now // HOUR - CACHED_HOURS, now // DAY + MAX_AHEAD
            hours = execute("SELECT * FROM hours WHERE hour > ? AND hour < ?", (oldest_hour, latest_day * DAY // HOUR))
            days = execute("SELECT * FROM days WHERE day <= ? ORDER BY day", (latest_day,))
            return LoadedJournal(
                last_number=row[0] if row else 0,
                incidents=tuple(incident_json.decode_rows({each[0]: each for each in (*newest, *is_open)}.values())),
                hours=tuple(_rows(hours.fetchall())),
                days=tuple(_rows(days.fetchall())),
            )

    def save(self, incidents: Iterable[Incident], totals: Totals) -> None:
        """Save incidents, and add totals, in one transaction. It is on disk when this returns."""
        hours = [(name, endpoint.value, hour, *seconds) for (name, endpoint, hour), seconds in totals.items()]
        days = [(name, endpoint, hour * HOUR // DAY, *seconds) for name, endpoint, hour, *seconds in hours]
        rows = [
            (each.number, each.environment, each.endpoint.value, each.begin, each.end, incident_json.encode(each))
            for each in incidents
        ]
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?)", rows)
            for table, unit, values in (("hours", "hour", hours), ("days", "day", days)):
                self._connection.executemany(
                    f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?) ON CONFLICT (environment, endpoint, {unit}) "  # noqa: S608
                    "DO UPDATE SET observed = observed + excluded.observed, down = down + excluded.down",
                    values,
                )

    def prune(self, now: float) -> None:
        """Delete what is older than the limits."""
        with self._transaction():
            execute = self._connection.execute
            execute("DELETE FROM incidents WHERE end < ?", (now - MAX_AGE,))
            execute(
                "DELETE FROM incidents WHERE end IS NOT NULL AND number <= "
                "(SELECT number FROM incidents ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (MAX_INCIDENTS,),
            )
            execute("DELETE FROM hours WHERE hour < ?", ((now - MAX_AGE_OF_HOURS) // HOUR,))
            execute("DELETE FROM days WHERE day < ?", ((now - MAX_AGE) // DAY,))

    def incidents(self, since: float | None, environment: str | None) -> list[Incident]:
        """Return the incidents that had not ended at `since`, newest first."""
        return list(incident_json.decode_rows(self.rows(since, environment)))

    def rows(self, since: float | None, environment: str | None) -> list[incident_json.Row]:
        """Return those incidents without decoding them, which takes a second for 10,000."""
        with _translated():
            return self._connection.execute(
                "SELECT number, environment, endpoint, content FROM incidents "
                "WHERE (end IS NULL OR end > :since) AND (:name IS NULL OR environment = :name) "
                "ORDER BY begin DESC, number DESC LIMIT :limit",
                {"since": -1e300 if since is None else since, "name": environment, "limit": MAX_INCIDENTS},
            ).fetchall()

    def incident(self, number: int) -> Incident | None:
        """Return one incident; None if it does not exist."""
        with _translated():
            rows = self._connection.execute(
                "SELECT number, environment, endpoint, content FROM incidents WHERE number = ?", (number,)
            ).fetchall()
        return next(incident_json.decode_rows(rows), None)

    def totals(self, begin: float, end: float, now: float) -> dict[tuple[str, str], tuple[float, float]]:
        """Return observed and down seconds between two times: to whole hours in the last weeks, else to whole days."""
        is_recent = begin >= now - MAX_AGE_OF_HOURS + DAY
        table, column, unit = ("hours", "hour", HOUR) if is_recent else ("days", "day", DAY)
        with _translated():
            rows = self._connection.execute(
                f"SELECT environment, endpoint, sum(observed), sum(down) FROM {table} "  # noqa: S608
                f"WHERE {column} >= ? AND {column} < ? GROUP BY environment, endpoint",
                (begin // unit, -(-end // unit)),
            ).fetchall()
        return {(name, endpoint): (observed, down) for name, endpoint, observed, down in rows}

    def close(self) -> None:
        """Write the write-ahead log into the database, and close it."""
        with _translated():
            self._connection.close()

    def abandon(self) -> None:
        """Close the database in any state."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


def set_aside(directory: Path) -> Path:
    """Rename the files of a damaged database; an earlier set is replaced. Return the new name.

    Raises `UnusableJournalError`.
    """
    try:
        with _opened(directory) as parent:
            for suffix in _SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{SET_ASIDE}{suffix}", dir_fd=parent)
            for suffix in _SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{FILE}{suffix}", f"{SET_ASIDE}{suffix}", src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        raise UnusableJournalError(f"the damaged file cannot be renamed: {error.strerror}") from None
    return directory / SET_ASIDE


def _prepare(directory: Path) -> str:
    """Create the file with mode 0600 if it does not exist; return its path without links.

    Raises `UnusableJournalError`, also if a file of the database is a link or no regular file.
    """
    try:
        with _opened(directory) as parent:
            for suffix in _SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(f"{FILE}{suffix}", dir_fd=parent, follow_symlinks=False)
                    if not stat.S_ISREG(status.st_mode):
                        raise UnusableJournalError(f"{FILE}{suffix} is not a regular file")
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(FILE, flags, 0o600, dir_fd=parent)
            try:
                if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                    os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise UnusableJournalError(error.strerror or type(error).__name__) from None
    return str(directory.resolve() / FILE)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise the exceptions of this module instead of those of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DAMAGES:
            raise DamagedJournalError from error
        raise UnusableJournalError(str(error)) from error


def _rows(rows: Iterable[tuple[str, str, int, float, float]]) -> Iterator[TotalsRow]:
    for environment, endpoint, unit, observed, down in rows:
        yield (environment, Endpoint(endpoint)), unit, observed, down
