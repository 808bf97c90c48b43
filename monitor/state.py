"""What outlives a restart: the spelling a server takes, and how long logins with rejected credentials are held back.

One small JSON file in the state directory, replaced as a whole. It never stops the monitor: what cannot be read is
started afresh, what cannot be written is told in a warning.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor.log import fields
from monitor.result import Spelling

VERSION = 1
LONGEST_PAUSE = 3600.0  # seconds; no stored pause is believed beyond this
_FINGERPRINT_BITS = 12
_SALT_BYTES = 16
_ROUNDS = 50_000  # of SHA-256 for a fingerprint that is written: about 30 ms
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one environment."""

    token_url: str
    fingerprint: int
    spelling: Spelling | None = None  # the one that was granted; None: not settled
    both_tried: bool = False  # with these credentials
    rejections: int = 0  # of these credentials, in a row
    retry_at: float = 0.0  # Unix seconds: the next login with these credentials, not before


class StateInUseError(Exception):
    """Another monitor has this state directory."""


class State:
    """The state file of one monitor. Safe to use from many threads at once."""

    def __init__(self, directory: Path | None, *, shared: bool = False) -> None:
        """Read the state in `directory`; without one, nothing outlives this process.

        With `shared`, a directory that another monitor has is read and left as it is; without, it
        is a `StateInUseError`.
        """
        self._path = directory / "state.json" if directory else None
        self._mutex = threading.Lock()
        self._lock_file: int | None = None
        self._writable = self._path is not None
        self._failing = False
        if directory is not None:
            try:
                self._take(directory / "lock")
            except BlockingIOError:
                if not shared:
                    raise StateInUseError(directory) from None
                self._writable = False
            except OSError as error:
                self._complain("cannot be locked", error)
        self._salt, self._memories = self._read() or (secrets.token_hex(_SALT_BYTES), {})

    def fingerprint(self, *credentials: str) -> int:
        """Tell one set of credentials from another, for storing.

        It does not help to guess a password. It is made of all four credentials together, so the file alone lets
        nobody try one. It is cut to 12 bits, so who holds three of the four as well finds one in 4096 of all wrong
        passwords to fit, and confirms none; and each that is tried costs the 50,000 rounds anew, because of the salt.
        The salt never changes while the file lives: a second copy tells no more than the first. The price: one changed
        password in 4096 looks like the old one after a restart, and waits for the pause to end or for a reload.
        """
        joined = "\0".join(credentials).encode()
        rounds = 1 if self._path is None else _ROUNDS  # without a file nobody sees it
        digest = hashlib.pbkdf2_hmac("sha256", joined, bytes.fromhex(self._salt), rounds)
        return int.from_bytes(digest[:4], "big") >> (32 - _FINGERPRINT_BITS)

    def recall(self, environment: str, token_url: str, fingerprint: int, now: float) -> Memory:
        """Return what still holds for these credentials at this server; `now` in Unix seconds."""
        with self._mutex:
            memory = self._memories.get(environment)
        if memory is None or memory.token_url != token_url:
            return Memory(token_url, fingerprint)
        if memory.fingerprint != fingerprint:  # the server's spelling does not depend on who asks
            return Memory(token_url, fingerprint, spelling=memory.spelling)
        return Memory(
            token_url,
            fingerprint,
            memory.spelling,
            memory.both_tried,
            memory.rejections,
            min(memory.retry_at, now + LONGEST_PAUSE),
        )

    def remember(self, environment: str, memory: Memory) -> None:
        """Keep `memory`, on disk before this returns where there is a state directory."""
        with self._mutex:
            if self._memories.get(environment) == memory and not self._failing:
                return
            self._memories[environment] = memory
            if not self._writable:
                return
            try:
                self._write()
                self._failing = False
            except OSError as error:
                self._complain("cannot be written: a restart will forget what was learnt", error)

    def close(self) -> None:
        """Let another monitor have the directory."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _take(self, path: Path) -> None:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(number)
            raise
        self._lock_file = number

    def _read(self) -> tuple[str, dict[str, Memory]] | None:
        """The salt and the memories of the file; None where there is nothing to go by."""
        if self._path is None:
            return None
        try:
            stored = json.loads(self._path.read_bytes())
            return _contents(stored)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._complain("cannot be read: starting afresh", error)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            what = "the state file is garbled or of another version: starting afresh"
            _log.warning(what, extra=fields(path=self._path))
        return None

    def _write(self) -> None:
        if self._path is None:
            return
        content = {
            "version": VERSION,
            "salt": self._salt,
            "environments": {name: asdict(memory) for name, memory in self._memories.items()},
        }
        temporary = self._path.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def _complain(self, what: str, error: OSError) -> None:
        if not self._failing:  # once, until it works again
            _log.warning("the state directory %s", what, extra=fields(path=self._path, error=error.strerror))
        self._failing = True


def _contents(stored: dict[str, Any]) -> tuple[str, dict[str, Memory]]:
    """Take the file's JSON apart. Raises what a wrong type, a wrong value or a missing key raises."""
    if stored["version"] != VERSION:
        raise ValueError("it was written by another version")
    if len(bytes.fromhex(stored["salt"])) != _SALT_BYTES:
        raise ValueError("the salt has another length")
    return stored["salt"], {name: _memory(raw) for name, raw in stored["environments"].items()}


def _memory(raw: dict[str, Any]) -> Memory:
    """Build a memory from the file. Raises `TypeError`, `ValueError` or `KeyError` for what is not one."""
    numbers = (raw["fingerprint"], raw["rejections"], raw["retry_at"])
    if any(isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0 for number in numbers):
        raise ValueError("a number is not one")
    if not isinstance(raw["token_url"], str) or not isinstance(raw["both_tried"], bool):
        raise TypeError("a value has another type")
    return Memory(
        token_url=raw["token_url"],
        fingerprint=int(raw["fingerprint"]),
        spelling=None if raw["spelling"] is None else Spelling(raw["spelling"]),
        both_tried=raw["both_tried"],
        rejections=int(raw["rejections"]),
        retry_at=float(raw["retry_at"]),
    )
