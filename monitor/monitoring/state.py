"""Persisted login state: field names, counted attempts, pauses and the start of the last login.

The state is one small JSON file in the state directory, which is replaced as a whole before each login is sent. A
problem with it never stops the monitor: an unreadable file is replaced, a failure to write is logged once.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import secrets
import threading
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.log import fields
from monitor.model import FieldNames
from monitor.monitoring.negotiation import NEVER, LoginRecord
from monitor.monitoring.state_directory import StateDirectory
from monitor.monitoring.state_file import (
    MAX_SIZE,
    SALT_BYTES,
    StoredHost,
    StoredState,
    login_record,
    parse,
    stored_login,
)

_FILE = "state.json"
_MONITOR = "the running monitor"
_NOT_WRITTEN = "cannot be written: the login state would be lost at a restart"
KEPT_CREDENTIALS = 4  # per token URL: a change back to earlier credentials must not start a new count
_FINGERPRINT_BITS = 12
_ROUNDS = 50_000  # of SHA-256 for a persisted fingerprint: about 30 ms
_log = logging.getLogger(__name__)


class LoginKey(NamedTuple):
    """Identifies the credentials at a token URL that share a login state."""

    token_url: str
    fingerprint: int


class StateInUseError(Exception):
    """Another monitor uses this state directory."""


class State:
    """The login state of one monitor, shared by its environments. Thread-safe."""

    def __init__(self, directory: Path | None, *, shared: bool = False, clock: Clock = SYSTEM_CLOCK) -> None:
        """Load the state from `directory`; if it is None, nothing is persisted.

        Raises `StateInUseError` if another monitor uses the directory, unless it is `shared` by a check: then the state
        is saved only while no monitor runs. Raises `ConfigError` if others can write to the directory.
        """
        self._path = directory / _FILE if directory else None
        self._directory = None if directory is None else StateDirectory(directory, shared=shared)
        self._clock = clock
        self._mutex = threading.Lock()
        self._login_locks: defaultdict[LoginKey, threading.Lock] = defaultdict(threading.Lock)
        self._other_user = ""  # the process that keeps this one from saving
        self._problem = ""  # the last one that was logged; empty after a save succeeds
        if self._directory is not None:
            try:
                self._directory.claim()
            except BlockingIOError:
                if not shared:
                    raise StateInUseError(directory) from None
                self._other_user = "another check"
            except OSError as error:
                self._warn_once("cannot be locked: a second monitor could use it too", error)
        self._salt = secrets.token_hex(SALT_BYTES)
        self._records: dict[LoginKey, LoginRecord] = {}  # the most recently used last
        self._granted: dict[str, FieldNames] = {}
        self._last_logins: dict[str, float] = {}
        self._used: dict[str, LoginKey] = {}
        self._read()

    @property
    def why_not_persisted(self) -> str:
        """The reason why the state is not persisted, as text; empty if it is persisted."""
        if self._path is None:
            return "TIGR_STATE_DIR is not set"
        if self._other_user:
            return f"{self._other_user} uses the state directory and is not informed"
        return "the state directory cannot be written" if self._problem else ""

    def fingerprint(self, *credentials: str) -> int:
        """Return a fingerprint that distinguishes one set of credentials from another in the state file.

        The fingerprint does not help to guess a password. It depends on all credentials, so the file alone is not
        sufficient to try one. It has 12 bits, so even with all other credentials known, one in 4096 wrong passwords
        matches and no password is confirmed. The salt makes each try cost 50,000 rounds, and it never changes while the
        file exists, so a second copy reveals nothing more. The cost: one in 4096 changed passwords matches the old one,
        and then the login waits for the end of the pause or for a reload.
        """
        joined = "\0".join(credentials).encode()
        rounds = 1 if self._path is None else _ROUNDS  # without a file it is never stored
        digest = hashlib.pbkdf2_hmac("sha256", joined, bytes.fromhex(self._salt), rounds)
        return int.from_bytes(digest[:4], "big") >> (32 - _FINGERPRINT_BITS)

    def use(self, environment: str, key: LoginKey) -> None:
        """Register the credentials that `environment` uses, so that their record is kept."""
        with self._mutex:
            self._used[environment] = key

    def login_lock(self, key: LoginKey) -> threading.Lock:
        """Return the lock to hold during a login, because some servers refuse two simultaneous logins of one user."""
        with self._mutex:
            return self._login_locks[key]

    def record(self, key: LoginKey) -> LoginRecord:
        """Return the record of these credentials, or an empty one."""
        return self._records.get(key) or LoginRecord()

    def granted(self, token_url: str) -> FieldNames | None:
        """Return the field names that this token URL has accepted, with any credentials."""
        return self._granted.get(token_url)

    def last_login(self, environment: str) -> float:
        """Return the start of the last login run of `environment` on the monotonic clock."""
        return self._last_logins.get(environment, NEVER)

    def begin_login(self, key: LoginKey, record: LoginRecord, environment: str, began: float) -> None:
        """Save that a login is about to be sent; `began` is the start of its run on the monotonic clock."""
        with self._mutex:
            self._last_logins[environment] = began
            self._save(key, record)

    def save(self, key: LoginKey, record: LoginRecord, granted: FieldNames | None = None) -> None:
        """Save `record` and the field names that were granted. The file is on disk when this returns."""
        with self._mutex:
            if granted is not None:
                self._granted[key.token_url] = granted
            self._save(key, record)

    def close(self) -> None:
        """Release the directory for another monitor."""
        if self._directory is not None:
            self._directory.close()

    def _save(self, key: LoginKey, record: LoginRecord) -> None:
        self._records.pop(key, None)
        self._records[key] = record
        self._prune(key.token_url)
        if self._directory is None or self._other_user:
            return
        try:
            with self._directory.saving():
                self._directory.replace(_FILE, self._content())
            if self._problem == _NOT_WRITTEN:
                _log.info("the state directory can be written again", extra=fields(path=self._path))
            self._problem = ""
        except BlockingIOError:
            self._other_user = _MONITOR
        except OSError as error:
            self._warn_once(_NOT_WRITTEN, error)

    def _prune(self, token_url: str) -> None:
        """Delete the records of a token URL that are not in use, except the most recently used."""
        in_use = set(self._used.values())
        others = [key for key in self._records if key.token_url == token_url and key not in in_use]
        for key in others[:-KEPT_CREDENTIALS]:
            del self._records[key]

    def _read(self) -> None:
        if self._directory is None:
            return
        try:
            stored = parse(self._directory.read(_FILE, MAX_SIZE))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno != errno.EFBIG:
                self._warn_once("cannot be read: starting with an empty state", error)
                return
            message = "the state file is damaged or has an unknown version: starting with an empty state"
            _log.warning(message, extra=fields(path=self._path))
            return
        now, wall = self._clock.now(), self._clock.wall()
        self._salt = stored.salt
        # A stored time in the future comes from a wrong wall clock, so it counts as now.
        self._last_logins = {name: now - max(0.0, wall - moment) for name, moment in stored.last_logins.items()}
        for token_url, host in stored.hosts.items():
            if host.granted is not None:
                self._granted[token_url] = host.granted
            for login in host.logins:
                self._records[LoginKey(token_url, login.fingerprint)] = login_record(login, now, wall)

    def _content(self) -> bytes:
        """Return the content of the file, without the oldest entries that are not in use if it is too long."""
        while len(content := self._serialized()) > MAX_SIZE and self._forget_oldest():
            pass
        if len(content) > MAX_SIZE:
            raise OSError(errno.EFBIG, f"the state is longer than {MAX_SIZE} bytes")
        return content

    def _forget_oldest(self) -> bool:
        """Delete one entry of an environment or a token URL that is not in use; return whether there was one."""
        in_use = set(self._used.values())
        urls = {key.token_url for key in in_use}
        for key in self._records:
            if key not in in_use:
                del self._records[key]
                return True
        for url in self._granted:
            if url not in urls:
                del self._granted[url]
                return True
        for environment in self._last_logins:
            if environment not in self._used:
                del self._last_logins[environment]
                return True
        return False

    def _serialized(self) -> bytes:
        now, wall = self._clock.now(), self._clock.wall()
        hosts = {token_url: StoredHost(granted=names) for token_url, names in self._granted.items()}
        for key, record in self._records.items():
            login = stored_login(key.fingerprint, record, wall - now)
            hosts.setdefault(key.token_url, StoredHost()).logins.append(login)
        last_logins = {name: max(0.0, wall - (now - moment)) for name, moment in self._last_logins.items()}
        return StoredState(salt=self._salt, last_logins=last_logins, hosts=hosts).model_dump_json().encode()

    def _warn_once(self, problem: str, error: OSError) -> None:
        if problem != self._problem:  # once until a save succeeds
            _log.warning("the state directory %s", problem, extra=fields(path=self._path, error=error.strerror))
        self._problem = problem
