"""Name look-ups that end at a deadline.

`getaddrinfo` has no timeout of its own: a dead resolver holds it for tens of seconds. A look-up therefore runs in a
daemon thread that the caller stops waiting for, and there is one outstanding look-up per host: later callers wait for
the same one.
"""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.threads import Workers

GetAddrInfo = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a host, ready to connect to."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


@dataclass(slots=True)
class _Lookup:
    """A look-up that is under way, and what came of it."""

    done: threading.Event = field(default_factory=threading.Event)
    addresses: tuple[Address, ...] = ()
    error: str | None = None
    took: float = 0.0  # seconds


class LookupFailedError(Exception):
    """The name did not resolve; the message says why, in the resolver's words."""


class Resolver:
    """Looks names up, each caller to a deadline of its own."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], _Lookup] = {}
        self._workers = Workers()

    def resolve(self, host: str, port: int, timeout: float) -> tuple[tuple[Address, ...], float]:
        """Return the addresses of `host`, in the order of preference that the system gives, and the seconds it took.

        What handing the look-up over to its thread and back takes is no part of these seconds: it is no look-up.
        Raises `TimeoutError` when `timeout` seconds have passed, `LookupFailedError` when there is no such name.
        """
        literal = _literal(host, port)
        if literal is not None:
            return (literal,), 0.0
        asked = time.monotonic()
        with self._lock:
            lookup = self._pending.get((host, port))
            if lookup is None:
                lookup = _Lookup()
                self._workers.start(functools.partial(self._run, lookup, host, port))
                # Only now: the start may have failed. The thread cannot end before we let go of the lock.
                self._pending[host, port] = lookup
        if not lookup.done.wait(timeout):
            raise TimeoutError
        if lookup.error is not None:
            raise LookupFailedError(lookup.error)
        return lookup.addresses, min(lookup.took, time.monotonic() - asked)  # another caller may have begun it

    def _run(self, lookup: _Lookup, host: str, port: int) -> None:
        began = time.monotonic()
        try:
            found = self._getaddrinfo(host, port, type=socket.SOCK_STREAM)
            lookup.addresses = tuple(Address(family, sockaddr) for family, _, _, _, sockaddr in found)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA cannot encode
            lookup.error = getattr(error, "strerror", None) or "the name cannot be looked up"
        finally:
            lookup.took = time.monotonic() - began
            with self._lock:
                del self._pending[host, port]
            lookup.done.set()


def _literal(host: str, port: int) -> Address | None:
    """The address that `host` is, if it is one and no name: that asks nobody, and so takes no thread."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    family, _, _, _, sockaddr = found[0]
    return Address(family, sockaddr)
