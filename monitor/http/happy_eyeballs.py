"""A TCP connection to the first of a host's addresses that accepts it (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from monitor.http.resolver import HostAddress
from monitor.machine.limits import local_limit

CONNECTION_ATTEMPT_DELAY = 0.25  # seconds between the starts of two attempts, as RFC 8305 section 5 recommends


class ConnectionAttempts:
    """Attempts to connect to each of several addresses. It is used once.

    The first socket is opened at once, so that the time of `connect` is that of the network: opening a socket takes a
    quarter of the time of a connection over loopback. Each other one is opened when its attempt starts: most hosts
    accept the first one, and many environments whose hosts have many silent addresses would otherwise use up the
    descriptors of the process.
    """

    def __init__(self, addresses: Sequence[HostAddress]) -> None:
        self._waiting = deque(enumerate(_interleaved(addresses)))
        self._running: dict[int, _ConnectionAttempt] = {}  # by file descriptor
        self._errors: dict[int, OSError] = {}  # by the rank of the address
        self._limit: OSError | None = None  # an address was not tried, because a limit of this machine was reached
        self._poll = select.poll()
        self._opened = _open(self._waiting[0][1]) if self._waiting else None  # for the first attempt

    def connect(self, deadline: float) -> socket.socket:
        """Return a connection to the first address that accepts it, and close the other attempts.

        `deadline` is a moment of `time.monotonic`. Raises `TimeoutError` when it passes. If every address has failed,
        raises the `OSError` of the address that the system prefers. If a limit of this machine kept an address from
        being tried, and no other accepts a connection, raises the `OSError` of that limit: the state is unknown.
        """
        next_start = now = time.monotonic()
        try:
            while True:
                if now >= deadline:
                    raise self._limit or TimeoutError
                if self._waiting and (now >= next_start or not self._running):
                    connected, failed = self._start(*self._waiting.popleft())
                    next_start = now + CONNECTION_ATTEMPT_DELAY
                elif self._running:
                    until = min(deadline, next_start) if self._waiting else deadline
                    connected, failed = self._wait(until - now)
                elif self._errors:
                    raise self._limit or self._errors[min(self._errors)]
                else:
                    raise OSError(errno.EADDRNOTAVAIL, "the name has no address")
                if connected is not None:
                    return connected
                if failed:  # the delay is for silent addresses: after a failure the next attempt starts at once
                    next_start = now
                now = time.monotonic()
        finally:
            for attempt in self._running.values():
                attempt.socket.close()
            if isinstance(self._opened, socket.socket):
                self._opened.close()

    def _start(self, rank: int, address: HostAddress) -> tuple[socket.socket | None, bool]:
        """Start one attempt. Return its socket if it connected at once, and if it failed at once."""
        # Until it is decided what becomes of it, `connect` closes it if anything is raised.
        self._opened = sock = self._opened or _open(address)
        if isinstance(sock, OSError):
            self._opened = None
            self._fail(rank, sock.errno)
            return None, True
        try:
            code = sock.connect_ex(address.sockaddr)  # before anything else: the time is measured
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code == errno.EINPROGRESS:
            self._running[sock.fileno()] = _ConnectionAttempt(rank, sock)
            self._opened = None
            self._poll.register(sock, select.POLLOUT)
            return None, False
        self._opened = None
        if code == 0:
            return sock, False
        sock.close()
        self._fail(rank, code)
        return None, True

    def _wait(self, seconds: float) -> tuple[socket.socket | None, bool]:
        """Wait for an attempt to end. Return the socket of one that connected, and if any has failed."""
        failed = False
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            attempt = self._running.pop(descriptor)
            self._poll.unregister(descriptor)
            code = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return attempt.socket, failed
            attempt.socket.close()
            self._fail(attempt.rank, code)
            failed = True
        return None, failed

    def _fail(self, rank: int, code: int | None) -> None:
        code = code or errno.EINVAL
        self._errors[rank] = error = OSError(code, os.strerror(code))
        if local_limit(error) is not None:
            self._limit = error


@dataclass(frozen=True, slots=True)
class _ConnectionAttempt:
    """The attempt to connect to one address, in progress."""

    rank: int  # 0 for the address that the system prefers
    socket: socket.socket


def _open(address: HostAddress) -> socket.socket | OSError:
    """Return a socket for an address; an error if no descriptor is free, or this machine lacks the address family."""
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    sock.settimeout(0)
    return sock


def _interleaved(addresses: Sequence[HostAddress]) -> Iterator[HostAddress]:
    """Yield the addresses with their families alternating, the preferred family first (RFC 8305 section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    for pair in zip_longest(first, other):
        yield from (address for address in pair if address is not None)
