"""A TCP connection to the first of a host's addresses that accepts it (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from monitor.http.resolver import HostAddress

CONNECTION_ATTEMPT_DELAY = 0.25  # seconds between the starts of two attempts, as RFC 8305 section 5 recommends


class ConnectionAttempts:
    """Attempts to connect to each of several addresses. It is used once.

    The sockets are created with the object, so that the caller can start its clock between that and `connect`.
    """

    def __init__(self, addresses: Sequence[HostAddress]) -> None:
        self._waiting: list[_ConnectionAttempt] = []
        self._running: dict[int, _ConnectionAttempt] = {}  # by file descriptor
        self._errors: dict[int, OSError] = {}  # by the rank of the address
        self._poll = select.poll()
        for rank, address in enumerate(_interleaved(addresses)):
            try:
                sock = socket.socket(address.family, socket.SOCK_STREAM)
            except OSError as error:  # the address family is not available on this machine
                self._errors[rank] = error
            else:
                sock.settimeout(0)
                self._waiting.append(_ConnectionAttempt(rank, address, sock))

    def connect(self, deadline: float) -> socket.socket:
        """Return a connection to the first address that accepts it, and close the other attempts.

        `deadline` is a moment of `time.monotonic`. Raises `TimeoutError` when it passes. If every address has failed,
        raises the `OSError` of the address that the system prefers.
        """
        next_start = now = time.monotonic()
        try:
            while True:
                if now >= deadline:
                    raise TimeoutError
                if self._waiting and (now >= next_start or not self._running):
                    connected, failed = self._start(self._waiting.pop(0))
                    next_start = now + CONNECTION_ATTEMPT_DELAY
                elif self._running:
                    until = min(deadline, next_start) if self._waiting else deadline
                    connected, failed = self._wait(until - now)
                elif self._errors:
                    raise self._errors[min(self._errors)]
                else:
                    raise OSError(errno.EADDRNOTAVAIL, "the name has no address")
                if connected is not None:
                    return connected
                if failed:  # the delay is for silent addresses: after a failure the next attempt starts at once
                    next_start = now
                now = time.monotonic()
        finally:
            for attempt in (*self._waiting, *self._running.values()):
                attempt.socket.close()

    def _start(self, attempt: _ConnectionAttempt) -> tuple[socket.socket | None, bool]:
        """Start one attempt. Return its socket if it connected at once, and if it failed at once."""
        try:
            code = attempt.socket.connect_ex(attempt.address.sockaddr)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code == 0:
            return attempt.socket, False
        if code == errno.EINPROGRESS:
            self._running[attempt.socket.fileno()] = attempt
            self._poll.register(attempt.socket, select.POLLOUT)
            return None, False
        self._fail(attempt, code)
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
            self._fail(attempt, code)
            failed = True
        return None, failed

    def _fail(self, attempt: _ConnectionAttempt, code: int) -> None:
        attempt.socket.close()
        self._errors[attempt.rank] = OSError(code, os.strerror(code))


@dataclass(frozen=True, slots=True)
class _ConnectionAttempt:
    """The attempt to connect to one address."""

    rank: int  # 0 for the address that the system prefers
    address: HostAddress
    socket: socket.socket


def _interleaved(addresses: Sequence[HostAddress]) -> Iterator[HostAddress]:
    """Yield the addresses with their families alternating, the preferred family first (RFC 8305 section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    for pair in zip_longest(first, other):
        yield from (address for address in pair if address is not None)
