"""Check passwords against bcrypt hashes, so that a wrong one costs its sender time and nobody else.

bcrypt takes a tenth of a second of CPU on purpose. Hence one check at a time, in a thread of its own; the right
password is remembered and then costs nothing; and who waits takes turns with the others, by address and name.
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

_MOST_WAITING = 64
_MOST_PER_QUEUE = 8
_LONGEST = 72  # bytes of a password that bcrypt looks at; exporters written in Go ignore the rest, too


class PasswordVerdict(Enum):
    """What came out of a check."""

    RIGHT = auto()
    WRONG = auto()
    BUSY = auto()  # not checked: too many others wait


@dataclass(frozen=True, slots=True)
class PasswordAttempt:
    """A name and a password, and who sent them. Its `repr` shows neither."""

    name: str
    password: bytes
    address: str

    def __repr__(self) -> str:
        """Say nothing that may be secret."""
        return f"PasswordAttempt(address={self.address!r})"


@dataclass(frozen=True, slots=True)
class _Check:
    """One computation of bcrypt, and all who wait for it."""

    digest: bytes
    password: bytes
    hash: bytes
    verdict: asyncio.Future[bool]


class Passwords:
    """Checks passwords in the event loop that calls it; belongs to one loop."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._right: dict[str, bytes] = {}  # by name, a keyed digest of what was right: no password is kept
        self._queues: OrderedDict[tuple[str, str], deque[_Check]] = OrderedDict()
        self._under_way: dict[bytes, _Check] = {}  # by digest: the same guess, sent by many, is checked once
        self._busy = False

    async def check(self, attempt: PasswordAttempt, hashes: Mapping[str, bytes]) -> PasswordVerdict:
        """Judge `attempt` by `hashes`, bcrypt's own texts by name, of which there is at least one.

        An unknown name takes as long as a known one: its password is checked against somebody else's hash.
        """
        known = attempt.name in hashes
        chosen = hashes[attempt.name] if known else self._stand_in(attempt.name, hashes)
        password = attempt.password[:_LONGEST]
        digest = self._digest(attempt.name.encode(), chosen, password)
        if known and hmac.compare_digest(self._right.get(attempt.name, b""), digest):
            return PasswordVerdict.RIGHT
        waiting = self._under_way.get(digest) or self._queued(attempt, digest, chosen, password)
        if waiting is None:
            return PasswordVerdict.BUSY
        right = await asyncio.shield(waiting.verdict)  # one who hangs up must not take it from the others
        if not (right and known):
            return PasswordVerdict.WRONG
        self._right[attempt.name] = digest
        return PasswordVerdict.RIGHT

    def _stand_in(self, name: str, hashes: Mapping[str, bytes]) -> bytes:
        """Return one of `hashes`, always the same for the same name, so that costs that differ tell nothing."""
        names = sorted(hashes)
        return hashes[names[int.from_bytes(self._digest(name.encode())) % len(names)]]

    def _digest(self, *parts: bytes) -> bytes:
        keyed = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            keyed.update(b"%d:%b" % (len(part), part))
        return keyed.digest()

    def _queued(self, attempt: PasswordAttempt, digest: bytes, chosen: bytes, password: bytes) -> _Check | None:
        key = (attempt.address, attempt.name)
        queue = self._queues.get(key, deque())
        if len(queue) >= _MOST_PER_QUEUE or len(self._under_way) >= _MOST_WAITING:
            return None
        check = _Check(digest, password, chosen, asyncio.get_running_loop().create_future())
        queue.append(check)
        self._queues[key] = queue
        self._under_way[digest] = check
        self._proceed()
        return check

    def _proceed(self) -> None:
        """Begin the next check, of whoever has waited longest since their last one."""
        if self._busy or not self._queues:
            return
        self._busy = True
        key, queue = self._queues.popitem(last=False)
        check = queue.popleft()
        if queue:
            self._queues[key] = queue
        loop = asyncio.get_running_loop()
        # No daemon thread: one that comes back from bcrypt after Python's end aborts the process. And not of a lower
        # priority: while it holds the interpreter lock, all others would wait at that priority (p99 of a probe's 20 ms
        # beside twenty guessers: 88 ms, not 24).
        threading.Thread(target=self._work, args=(check, loop), name="password", daemon=False).start()

    def _work(self, check: _Check, loop: asyncio.AbstractEventLoop) -> None:
        import bcrypt  # an extension of some size, which only those need who have set passwords

        try:
            right = bcrypt.checkpw(check.password, check.hash)
        except ValueError:  # a hash that only looks like one
            right = False
        with contextlib.suppress(RuntimeError):  # the server has stopped
            loop.call_soon_threadsafe(self._finish, check, right)

    def _finish(self, check: _Check, right: bool) -> None:  # noqa: FBT001 # a callback
        self._busy = False
        del self._under_way[check.digest]
        check.verdict.set_result(right)
        self._proceed()
