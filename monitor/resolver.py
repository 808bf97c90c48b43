"""Name look-ups that end at a deadline.

`getaddrinfo` has no timeout of its own: a dead resolver holds it for tens of seconds. A look-up therefore runs in a
daemon thread that the caller stops waiting for, and there is one outstanding look-up per host: later callers wait for
the same one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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


class LookupFailedError(Exception):
    """The name did not resolve; the message says why, in the resolver's words."""


class Resolver:
    """Looks names up, each caller to a deadline of its own."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], _Lookup] = {}

    def resolve(self, host: str, port: int, timeout: float) -> tuple[Address, ...]:
        """Return the addresses of `host`, in the order of preference that the system gives.

        Raises `TimeoutError` when `timeout` seconds have passed, `LookupFailedError` when there is no such name.
        """
        with self._lock:
            lookup = self._pending.get((host, port))
            if lookup is None:
                lookup = _Lookup()
                threading.Thread(
                    target=self._run, args=(lookup, host, port), name=f"resolve {host}", daemon=True
                ).start()
                # Only now: the start may have failed. The thread cannot end before we let go of the lock.
                self._pending[host, port] = lookup
        if not lookup.done.wait(timeout):
            raise TimeoutError
        if lookup.error is not None:
            raise LookupFailedError(lookup.error)
        return lookup.addresses

    def _run(self, lookup: _Lookup, host: str, port: int) -> None:
        try:
            lookup.addresses = tuple(
                Address(family, sockaddr)
                for family, _, _, _, sockaddr in self._getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA cannot encode
            lookup.error = getattr(error, "strerror", None) or "the name cannot be looked up"
        finally:
            with self._lock:
                del self._pending[host, port]
            lookup.done.set()
