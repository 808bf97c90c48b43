"""Name lookups that end at a deadline.

`getaddrinfo` has no timeout of its own: a dead DNS server blocks it for tens of seconds. A lookup therefore runs in a
daemon thread, and its caller stops waiting at the deadline. There is one outstanding lookup per host and port; later
callers wait for the same one.
"""

from __future__ import annotations

import functools
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.errors import describe_exception
from monitor.machine.limits import DESCRIPTOR_LIMIT, HEAP_LIMIT, LocalLimitError, has_free_descriptors, local_limit
from monitor.threads import Workers

GetAddrInfo = Callable[..., list[tuple[Any, ...]]]
_NAME = re.compile(r"[^:]*[g-wyz][^:]*", re.ASCII | re.IGNORECASE)  # an IPv4 address may have the letters of 0x1f


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One address of a host, with its port, in the form that `socket.connect` takes."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


@dataclass(slots=True)
class _PendingLookup:
    """A lookup in progress, and its result once `done` is set."""

    done: threading.Event = field(default_factory=threading.Event)
    addresses: tuple[HostAddress, ...] = ()
    error: str | None = None  # the name did not resolve
    limit: str | None = None  # a limit of this machine, or an internal error, prevented the lookup
    seconds: float = 0.0


class LookupFailedError(Exception):
    """The name did not resolve. The message is the resolver's."""


class Resolver:
    """Resolves names, each caller with a deadline of its own."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], _PendingLookup] = {}
        self._workers = Workers()

    def resolve(self, host: str, port: int, timeout: float) -> tuple[tuple[HostAddress, ...], float]:
        """Return the addresses of `host` in the system's order of preference, and the seconds that the lookup took.

        These seconds leave out the time to start the lookup's thread and to return to the caller. Raises
        `TimeoutError` after `timeout` seconds, `LookupFailedError` if the name does not resolve, and `LocalLimitError`
        or `RuntimeError` if a limit of this machine prevents the lookup: then nothing is known about the name.
        """
        literal = _literal(host, port)
        if literal is not None:
            return (literal,), 0.0
        called = time.monotonic()
        with self._lock:
            lookup = self._pending.get((host, port))
            if lookup is None:
                lookup = _PendingLookup()
                self._workers.start(functools.partial(self._run, lookup, host, port))
                # Added after the start, because the start may fail. The thread ends only after this lock is released.
                self._pending[host, port] = lookup
        if not lookup.done.wait(timeout):
            raise TimeoutError
        if lookup.limit is not None:
            raise LocalLimitError(lookup.limit)
        if lookup.error is not None:
            raise LookupFailedError(lookup.error)
        # Another caller may have started the lookup before this call.
        return lookup.addresses, min(lookup.seconds, time.monotonic() - called)

    def _run(self, lookup: _PendingLookup, host: str, port: int) -> None:
        had_descriptors = has_free_descriptors()
        began = time.monotonic()
        try:
            entries = self._getaddrinfo(host, port, type=socket.SOCK_STREAM)
            lookup.addresses = tuple(HostAddress(family, sockaddr) for family, _, _, _, sockaddr in entries)
        except Exception as error:  # noqa: BLE001 # the callers wait for the end of the lookup
            # Without a free descriptor the resolver reports that the name is unknown, or that no server responded.
            lookup.limit = _limit(error)
            if lookup.limit is None and not (had_descriptors and has_free_descriptors()):
                lookup.limit = DESCRIPTOR_LIMIT
            lookup.error = getattr(error, "strerror", None) or "the name cannot be looked up"
        finally:
            lookup.seconds = time.monotonic() - began
            with self._lock:
                del self._pending[host, port]
            lookup.done.set()


def _limit(error: Exception) -> str | None:
    """Return the text of a lookup's error that says nothing about the name; None if it does."""
    if isinstance(error, socket.gaierror):
        return HEAP_LIMIT if error.errno == socket.EAI_MEMORY else None
    if not isinstance(error, OSError | UnicodeError):  # UnicodeError: a label that IDNA cannot encode
        return describe_exception(error)
    return local_limit(error)


def _literal(host: str, port: int) -> HostAddress | None:
    """Return the address if `host` is a literal one: it needs no server, and so no thread."""
    if _NAME.fullmatch(host):  # almost every host; the call below costs ten times as much
        return None
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    family, _, _, _, sockaddr = entries[0]
    return HostAddress(family, sockaddr)
