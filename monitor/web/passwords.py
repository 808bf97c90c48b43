"""Password checks against bcrypt hashes, in which a wrong password delays only its sender.

bcrypt takes a tenth of a second of CPU by design. So one check runs at a time, in a thread of its own. A digest of
the right password is kept, and the next request with it needs no bcrypt. Waiting checks are queued by the network of
the client and by name. The networks are served in rotation, and so are the names of each. If too many checks wait, a
network with fewer of them displaces one of the network with the most.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from monitor.hosts import client_network

_MAX_WAITING = 64
_MAX_PER_QUEUE = 8
_MAX_PASSWORD = 72  # bytes: bcrypt ignores the rest, and so do the exporters written in Go


class PasswordVerdict(Enum):
    """Result of a password check."""

    RIGHT = auto()
    WRONG = auto()
    BUSY = auto()  # not checked: too many checks are waiting


@dataclass(frozen=True, slots=True)
class PasswordAttempt:
    """Name and password, and the address of their sender. Its `repr` shows neither name nor password."""

    name: str
    password: bytes
    address: str

    def __repr__(self) -> str:
        """Return a text without secrets."""
        return f"PasswordAttempt(address={self.address!r})"


@dataclass(frozen=True, slots=True)
class _Check:
    """One computation of bcrypt, for which several requests may wait."""

    digest: bytes
    password: bytes
    hash: bytes
    verdict: asyncio.Future[bool | None]  # None: not checked


class Passwords:
    """Checks passwords for one event loop."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._right: dict[str, bytes] = {}  # by name, a keyed digest: no password is kept
        self._queues: OrderedDict[str, OrderedDict[str, deque[_Check]]] = OrderedDict()  # by network, then by name
        self._pending: dict[bytes, _Check] = {}  # by digest: equal attempts share one check
        self._busy = False

    async def check(self, attempt: PasswordAttempt, hashes: Mapping[str, bytes]) -> PasswordVerdict:
        """Check `attempt` against `hashes`, bcrypt hashes by name. There must be at least one.

        An unknown name takes as long as a known one: its password is checked against the hash of another user.
        """
        known = attempt.name in hashes
        chosen = hashes[attempt.name] if known else self._stand_in(attempt.name, hashes)
        password = attempt.password[:_MAX_PASSWORD]
        digest = self._digest(attempt.name.encode(), chosen, password)
        if known and hmac.compare_digest(self._right.get(attempt.name, b""), digest):
            return PasswordVerdict.RIGHT
        waiting = self._pending.get(digest) or self._queued(attempt, digest, chosen, password)
        if waiting is None:
            return PasswordVerdict.BUSY
        right = await asyncio.shield(waiting.verdict)  # a client that disconnects must not cancel the check for others
        if right is None:
            return PasswordVerdict.BUSY
        if not (right and known):
            return PasswordVerdict.WRONG
        self._right[attempt.name] = digest
        return PasswordVerdict.RIGHT

    def _stand_in(self, name: str, hashes: Mapping[str, bytes]) -> bytes:
        """Return one of `hashes`, always the same for a name, so that hashes of different cost reveal no name."""
        names = sorted(hashes)
        return hashes[names[int.from_bytes(self._digest(name.encode())) % len(names)]]

    def _digest(self, *parts: bytes) -> bytes:
        keyed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            keyed.update(b"%d:%b" % (len(part), part))
        return keyed.digest()

    def _queued(self, attempt: PasswordAttempt, digest: bytes, chosen: bytes, password: bytes) -> _Check | None:
        network = client_network(attempt.address)
        names = self._queues.get(network, OrderedDict())
        queue = names.get(attempt.name, deque())
        if len(queue) >= _MAX_PER_QUEUE:
            return None
        if len(self._pending) >= _MAX_WAITING and not self._displace(_size(names) + 1):
            return None
        check = _Check(digest, password, chosen, asyncio.get_running_loop().create_future())
        queue.append(check)
        names[attempt.name] = queue
        self._queues[network] = names
        self._pending[digest] = check
        self._proceed()
        return check

    def _displace(self, size: int) -> bool:
        """Remove the newest check of the network with the most, and return False if none has more than `size`."""
        names = max(self._queues.values(), key=_size, default=OrderedDict())
        if _size(names) <= size:
            return False
        name = max(names, key=lambda name: len(names[name]))
        check = names[name].pop()
        if not names[name]:
            del names[name]
        del self._pending[check.digest]
        check.verdict.set_result(None)
        return True

    def _proceed(self) -> None:
        """Start the next check, from the network, and of its names the one, whose last check is the longest ago."""
        if self._busy or not self._queues:
            return
        self._busy = True
        network, names = self._queues.popitem(last=False)
        name, queue = names.popitem(last=False)
        check = queue.popleft()
        if queue:
            names[name] = queue
        if names:
            self._queues[network] = names
        loop = asyncio.get_running_loop()
        # Not a daemon thread: one that returns from bcrypt during the shutdown of Python aborts the process. Not at a
        # lower priority either: while the thread holds the interpreter lock, all other threads would wait at that
        # priority (with twenty clients that send wrong passwords, p99 of a 20 ms probe was 88 ms instead of 24 ms).
        try:
            threading.Thread(target=self._work, args=(check, loop), name="password", daemon=False).start()
        except (RuntimeError, MemoryError):  # no thread can be started now; the next attempt tries again
            self._finish(check, None)

    def _work(self, check: _Check, loop: asyncio.AbstractEventLoop) -> None:
        right: bool | None
        try:
            import bcrypt  # an extension module, which is loaded only if passwords are set

            right = bcrypt.checkpw(check.password, check.hash)
        except ValueError:  # a hash with a valid form but an invalid value
            right = False
        except (ImportError, OSError, MemoryError):  # no descriptor or no memory; the next attempt tries again
            right = None
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(self._finish, check, right)

    def _finish(self, check: _Check, right: bool | None) -> None:  # noqa: FBT001 # a callback
        self._busy = False
        del self._pending[check.digest]
        check.verdict.set_result(right)
        self._proceed()


def _size(names: Mapping[str, deque[_Check]]) -> int:
    return sum(map(len, names.values()))
