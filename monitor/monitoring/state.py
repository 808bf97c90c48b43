"""Persisted login state: field names, counted attempts, pauses and the start of the last login.

One small JSON file in the state directory, replaced as a whole and written before each login leaves. It never stops
the monitor: a file that cannot be read is replaced, a failure to write is logged once.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.log import fields
from monitor.model import FieldNames
from monitor.monitoring.negotiation import NEVER, STOPPED, LoginRecord, NameRecord, Weight, pause_after
from monitor.monitoring.state_file import SALT_BYTES, StoredHost, StoredLogin, StoredName, StoredState, parse, read

KEPT_CREDENTIALS = 4  # per token URL: changing credentials back must not begin a new count
_FINGERPRINT_BITS = 12
_ROUNDS = 50_000  # of SHA-256 for a fingerprint that is written: about 30 ms
_log = logging.getLogger(__name__)


class LoginKey(NamedTuple):
    """Identifies the credentials at a token URL that share a login state."""

    token_url: str
    fingerprint: int


class StateInUseError(Exception):
    """Another monitor has this state directory."""


class State:
    """The login state of one monitor, shared by its environments. Safe to use from many threads at once."""

    def __init__(self, directory: Path | None, *, shared: bool = False, clock: Clock = SYSTEM_CLOCK) -> None:
        """Read the state in `directory`; without one, nothing outlives this process.

        With `shared`, a directory that another monitor has is read and left as it is; without, it
        is a `StateInUseError`.
        """
        self._path = directory / "state.json" if directory else None
        self._clock = clock
        self._mutex = threading.Lock()
        self._login_locks: defaultdict[LoginKey, threading.Lock] = defaultdict(threading.Lock)
        self._lock_file: int | None = None
        self._writable = self._path is not None
        self._complaint = ""  # the newest that was logged; empty since the file was written
        if directory is not None:
            try:
                self._take(directory / "lock")
            except BlockingIOError:
                if not shared:
                    raise StateInUseError(directory) from None
                self._writable = False
            except OSError as error:
                self._complain("cannot be locked: a second monitor could use it too", error)
        self._salt = secrets.token_hex(SALT_BYTES)
        self._records: dict[LoginKey, LoginRecord] = {}  # the most recently used last
        self._granted: dict[str, FieldNames] = {}
        self._last_logins: dict[str, float] = {}
        self._used: dict[str, LoginKey] = {}
        self._read()

    @property
    def why_not_persisted(self) -> str:
        """Why nothing that is saved outlives this process, as text; empty if it does."""
        if self._path is None:
            return "TIGR_STATE_DIR is not set"
        if not self._writable:
            return "the monitor that runs has the state directory, and does not learn of it"
        return "the state directory cannot be written" if self._complaint else ""

    def fingerprint(self, *credentials: str) -> int:
        """Tell one set of credentials from another, for storing.

        It does not help to guess a password. It is made of all credentials together, so the file alone lets nobody
        try one. It is cut to 12 bits, so a reader who holds all others as well finds one in 4096 of all wrong
        passwords to fit, and confirms none; and each that is tried costs the 50,000 rounds anew, because of the salt.
        The salt never changes while the file lives: a second copy reveals no more than the first. The price: one
        changed password in 4096 looks like the old one, and waits for the pause to end or for a reload.
        """
        joined = "\0".join(credentials).encode()
        rounds = 1 if self._path is None else _ROUNDS  # without a file nobody sees it
        digest = hashlib.pbkdf2_hmac("sha256", joined, bytes.fromhex(self._salt), rounds)
        return int.from_bytes(digest[:4], "big") >> (32 - _FINGERPRINT_BITS)

    def use(self, environment: str, key: LoginKey) -> None:
        """Note that `environment` logs in with these credentials, so that their record is kept."""
        with self._mutex:
            self._used[environment] = key

    def login_lock(self, key: LoginKey) -> threading.Lock:
        """Return the lock to hold during a login: some servers refuse two logins of one user at the same moment."""
        with self._mutex:
            return self._login_locks[key]

    def record(self, key: LoginKey) -> LoginRecord:
        """Return the record of these credentials, empty if there is none."""
        return self._records.get(key) or LoginRecord()

    def granted(self, token_url: str) -> FieldNames | None:
        """Return the field names that this token URL has taken, whatever the credentials."""
        return self._granted.get(token_url)

    def last_login(self, environment: str) -> float:
        """Return when the newest login run of `environment` began, on the monotonic clock."""
        return self._last_logins.get(environment, NEVER)

    def begin_login(self, key: LoginKey, record: LoginRecord, environment: str, began: float) -> None:
        """Save, before a login leaves, that it does; `began` is the start of its run on the monotonic clock."""
        with self._mutex:
            self._last_logins[environment] = began
            self._save(key, record)

    def save(self, key: LoginKey, record: LoginRecord, granted: FieldNames | None = None) -> None:
        """Save `record`, and the field names that were granted; on disk before this returns, if there is a file."""
        with self._mutex:
            if granted is not None:
                self._granted[key.token_url] = granted
            self._save(key, record)

    def close(self) -> None:
        """Let another monitor have the directory."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _save(self, key: LoginKey, record: LoginRecord) -> None:
        self._records.pop(key, None)
        self._records[key] = record
        self._prune(key.token_url)
        if not self._writable:
            return
        try:
            self._write()
            self._complaint = ""
        except OSError as error:
            self._complain("cannot be written: a restart will forget the login state", error)

    def _prune(self, token_url: str) -> None:
        """Keep the records of a token URL that are in use, and the newest of the others."""
        in_use = set(self._used.values())
        others = [key for key in self._records if key.token_url == token_url and key not in in_use]
        for key in others[:-KEPT_CREDENTIALS]:
            del self._records[key]

    def _take(self, path: Path) -> None:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(number)
            raise
        self._lock_file = number

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            stored = parse(read(self._path))
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain("cannot be read: starting with an empty one", error)
            return
        except ValueError:
            what = "the state file is damaged or of another version: starting with an empty one"
            _log.warning(what, extra=fields(path=self._path))
            return
        now, wall = self._clock.now(), self._clock.wall()
        self._salt = stored.salt
        # A moment that lies in the future is a wall clock that was wrong: it counts as now.
        self._last_logins = {name: now - max(0.0, wall - moment) for name, moment in stored.last_logins.items()}
        for token_url, host in stored.hosts.items():
            if host.granted is not None:
                self._granted[token_url] = host.granted
            for login in host.logins:
                self._records[LoginKey(token_url, login.fingerprint)] = _record(login, now, wall)

    def _write(self) -> None:
        if self._path is None:
            return
        now, wall = self._clock.now(), self._clock.wall()
        hosts = {token_url: StoredHost(granted=names) for token_url, names in self._granted.items()}
        for key, record in self._records.items():
            hosts.setdefault(key.token_url, StoredHost()).logins.append(_stored(key.fingerprint, record, wall - now))
        last_logins = {name: max(0.0, wall - (now - moment)) for name, moment in self._last_logins.items()}
        content = StoredState(salt=self._salt, last_logins=last_logins, hosts=hosts).model_dump_json()
        temporary = self._path.with_suffix(".new")
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK, 0o600), "w"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def _complain(self, what: str, error: OSError) -> None:
        if what != self._complaint:  # once, until it works again
            _log.warning("the state directory %s", what, extra=fields(path=self._path, error=error.strerror))
        self._complaint = what


def _record(login: StoredLogin, now: float, wall: float) -> LoginRecord:
    """Return the record that was stored, with its moments on the monotonic clock."""
    resume_at = NEVER
    if login.resume_at is not None:  # a pause longer than any comes from a wall clock that was wrong
        resume_at = now + min(max(0.0, login.resume_at - wall), pause_after(login.pauses))
    return LoginRecord(
        names=_names(login.names),
        counted=login.counted,
        pauses=login.pauses,
        rejected=login.rejected,
        resume_at=STOPPED if login.stopped else resume_at,
        reload_used=login.reload_used,
        signalled_at=NEVER if login.signalled_at is None else now - max(0.0, wall - login.signalled_at),
        in_flight=login.in_flight,
    )


def _names(stored: Mapping[FieldNames, StoredName]) -> Mapping[FieldNames, NameRecord]:
    empty = StoredName()
    found = {names: stored.get(names, empty) for names in FieldNames}
    return MappingProxyType(
        {
            names: NameRecord(None if name.refusal is None else Weight(name.refusal), name.responses)
            for names, name in found.items()
        }
    )


def _stored(fingerprint: int, record: LoginRecord, offset: float) -> StoredLogin:
    """Return the record for the file; `offset` is wall clock minus monotonic clock, in seconds."""
    return StoredLogin(
        fingerprint=fingerprint,
        names={
            names: StoredName(refusal=None if name.refusal is None else int(name.refusal), responses=name.responses)
            for names, name in record.names.items()
        },
        counted=record.counted,
        pauses=record.pauses,
        rejected=record.rejected,
        stopped=record.resume_at == STOPPED,
        resume_at=None if record.resume_at in (NEVER, STOPPED) else max(0.0, record.resume_at + offset),
        reload_used=record.reload_used,
        signalled_at=None if record.signalled_at == NEVER else max(0.0, record.signalled_at + offset),
        in_flight=record.in_flight,
    )
