"""The thread that owns the database of the journal: it loads the journal, saves its changes, and reads for others.

A disk that is full, slow or not writable delays only this thread. The journal goes on in memory, and each problem is
logged once, at its begin and at its end.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from monitor.clock import Clock
from monitor.errors import describe_exception
from monitor.log import fields
from monitor.reporting.journal import MAX_CACHED, Journal
from monitor.reporting.journal_content import DamagedJournalError, NewerJournalError, UnusableJournalError
from monitor.reporting.overview import JournalBusyError

if TYPE_CHECKING:
    from monitor.reporting.journal_database import JournalDatabase

SAVE_INTERVAL = 10.0  # seconds between two saves while an incident goes on; its begin and its end are saved at once
SETTLE_INTERVAL = 60.0  # seconds between two additions of the observed time
RETRY_INTERVAL = 30.0  # seconds until the next attempt after a problem
PRUNE_INTERVAL = 3600.0  # seconds
READ_TIMEOUT = 2.0  # seconds that a reader waits
CLOSE_TIMEOUT = 2.0  # seconds that the exit waits for the last save
_MAX_REQUESTS = 32  # readers that wait
_log = logging.getLogger(__name__)
T = TypeVar("T")


class JournalWriter:
    """Loads and saves a journal between `start` and `close`. Without a directory, it only adds the observed time."""

    def __init__(self, journal: Journal, directory: Path | None, clock: Clock) -> None:
        self._journal = journal
        self._directory = directory
        self._clock = clock
        self._database: JournalDatabase | None = None
        self._requests: queue.Queue[Callable[[], None] | None] = queue.Queue(_MAX_REQUESTS)
        self._stopping = threading.Event()
        self._is_urgent = False
        self._problem = ""  # the last one that was logged; empty while the journal is saved
        self._is_refused = False  # a newer version has written the file: there is no further attempt
        self._is_loaded = False  # the content of the file is in memory
        self._set_aside_at = clock.now() - RETRY_INTERVAL  # time of the last damage
        self._open_at = self._save_at = self._settle_at = clock.now()
        self._prune_at = clock.now() + PRUNE_INTERVAL
        self._wall_ahead = clock.wall() - clock.now()  # seconds, at the last look at both clocks
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        journal.on_change = self._wake

    @property
    def problem(self) -> str:
        """The reason why incidents are not saved, as text; empty if they are, or if there is no directory."""
        return self._problem

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Save the last changes and close the database, within two seconds."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT)

    def read(self, read: Callable[[JournalDatabase], T], otherwise: Callable[[], T]) -> T:
        """Return the value of `read`, which the thread calls after a save, or of `otherwise` without a database.

        Raises `JournalBusyError` after two seconds.
        """
        if self._directory is None or not self._thread.is_alive():
            return otherwise()
        future: Future[T] = Future()

        def respond() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(otherwise() if self._database is None else read(self._database))
            except (DamagedJournalError, UnusableJournalError) as error:
                future.set_result(otherwise())
                raise error from None
            except Exception as error:  # noqa: BLE001 - the reader needs a response
                future.set_exception(error)

        try:
            self._requests.put_nowait(respond)
            return future.result(READ_TIMEOUT)
        except (queue.Full, TimeoutError):
            future.cancel()
            raise JournalBusyError from None

    def _wake(self) -> None:
        self._is_urgent = True
        with contextlib.suppress(queue.Full):  # then the thread is awake
            self._requests.put_nowait(None)

    # The thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._open_if_due()
                self._settle_if_due()
                self._save_if_due()
                self._respond()
            except Exception as error:  # noqa: BLE001 - no error may end the thread
                self._fail(error)
        try:
            self._journal.settle()
            self._save()
            if self._database is not None:
                self._database.close()
        except Exception as error:  # noqa: BLE001 - the process ends
            self._fail(error)

    def _respond(self) -> None:
        """Wait until something is due, and respond to the readers that come before."""
        moments = [self._settle_at]
        if self._database is not None:
            moments.append(self._save_at)
        elif self._may_open:
            moments.append(self._open_at)
        pause = max(0.0, min(moments) - self._clock.now())
        with contextlib.suppress(queue.Empty):
            request = self._requests.get(timeout=min(pause, SAVE_INTERVAL))
            while True:
                if request is not None:
                    self._save()
                    request()
                request = self._requests.get_nowait()

    @property
    def _may_open(self) -> bool:
        return self._directory is not None and self._database is None and not self._is_refused

    def _open_if_due(self) -> None:
        if self._directory is None or not self._may_open or self._clock.now() < self._open_at:
            return
        # Imported here, because a monitor without a state directory does not need SQLite.
        from monitor.reporting.journal_database import JournalDatabase

        self._open_at = self._clock.now() + RETRY_INTERVAL
        database = JournalDatabase(self._directory)
        if not self._is_loaded:
            try:
                content = database.load(self._clock.wall(), MAX_CACHED)
            except BaseException:
                database.abandon()
                raise
            self._journal.load(content)
            self._is_loaded = True
        self._database = database
        self._is_urgent = True

    def _settle_if_due(self) -> None:
        if self._clock.now() >= self._settle_at:
            self._settle_at = self._clock.now() + SETTLE_INTERVAL
            self._journal.settle()

    def _save_if_due(self) -> None:
        if self._is_urgent or self._clock.now() >= self._save_at:
            self._save()
            self._prune_if_due()

    def _save(self) -> None:
        self._is_urgent = False
        self._save_at = self._clock.now() + SAVE_INTERVAL
        if self._directory is None:
            self._journal.take_unsaved()  # nothing will save it
        if self._database is None:
            return
        unsaved = self._journal.take_unsaved()
        try:
            if unsaved:
                self._database.save(unsaved.incidents.values(), unsaved.totals)
        except BaseException:
            self._journal.put_back(unsaved)
            raise
        if self._problem and unsaved:
            self._problem = ""
            _log.info("the journal can be saved again", extra=fields(path=self._directory))

    def _prune_if_due(self) -> None:
        if self._database is not None and self._clock.now() >= self._prune_at:
            self._prune_at = self._clock.now() + PRUNE_INTERVAL
            before, self._wall_ahead = self._wall_ahead, self._clock.wall() - self._clock.now()
            # A clock that is wrong after the start, or for a short time, must not delete what is not old.
            if self._wall_ahead - before < PRUNE_INTERVAL:
                self._database.prune(self._clock.wall())

    # Problems.

    def _fail(self, error: Exception) -> None:
        """Go on in memory; set a damaged file aside, and try to open the database again later."""
        if self._database is not None:
            self._database.abandon()
            self._database = None
        self._open_at = self._clock.now() + RETRY_INTERVAL
        if isinstance(error, DamagedJournalError):
            self._set_aside()
        elif isinstance(error, NewerJournalError):
            self._is_refused = True
            self._report("a newer version of the monitor has written it, so it stays unchanged")
        elif isinstance(error, UnusableJournalError):
            self._report(str(error))
        else:
            self._report(f"an internal error: {describe_exception(error)}")
        if self._is_refused or self._problem:
            self._journal.begin_without_file(int(self._clock.wall()))

    def _set_aside(self) -> None:
        from monitor.reporting.journal_database import set_aside

        if self._directory is None:
            return
        now = self._clock.now()
        if now - self._set_aside_at < RETRY_INTERVAL:  # the new file, too: the disk is at fault
            self._report("the file was damaged soon after it was created")
            return
        self._set_aside_at = now
        try:
            path = set_aside(self._directory)
        except UnusableJournalError as error:
            self._report(str(error))
            return
        self._journal.save_all_again()
        self._open_at = now
        _log.warning(
            "the journal was damaged: a new one begins, and the damaged file was set aside", extra=fields(path=path)
        )

    def _report(self, problem: str) -> None:
        if not self._problem:  # once until a save succeeds
            _log.warning(
                "the journal cannot be saved: incidents are kept in memory only, and are lost at a restart",
                extra=fields(path=self._directory, fault=problem),
            )
        self._problem = problem
