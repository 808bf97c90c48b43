"""A TCP connection to the first of a host's addresses that answers (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from monitor.http.resolver import Address

CONNECTION_ATTEMPT_DELAY = (
    0.25  # seconds until the next address is tried beside the ones before: RFC 8305 section 5's recommendation
)


class ConnectionAttempts:
    """One connection to be made, to whichever address answers first. It is used once.

    What can be made ready is ready when it has been created, so that a stopwatch may start between that and `connect`.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._waiting: list[_Attempt] = []
        self._running: dict[int, _Attempt] = {}
        self._errors: dict[int, OSError] = {}  # by the address's place
        self._poll = select.poll()
        for place, address in enumerate(_interleaved(addresses)):
            try:
                sock = socket.socket(address.family, socket.SOCK_STREAM)
            except OSError as error:  # the address family is not available on this machine
                self._errors[place] = error
            else:
                sock.settimeout(0)
                self._waiting.append(_Attempt(place, address, sock))

    def connect(self, deadline: float) -> socket.socket:
        """Connect to the first address that answers, and close the other attempts.

        `deadline` is a moment of `time.monotonic`. Raises `TimeoutError` when it passes, and `OSError`, that of the
        address which the system prefers, when every address has failed.
        """
        next_start = now = time.monotonic()
        try:
            while True:
                if now >= deadline:
                    raise TimeoutError
                if self._waiting and (now >= next_start or not self._running):
                    winner, lost = self._start(self._waiting.pop(0))
                    next_start = now + CONNECTION_ATTEMPT_DELAY
                elif self._running:
                    winner, lost = self._wait((min(deadline, next_start) if self._waiting else deadline) - now)
                elif self._errors:
                    raise self._errors[min(self._errors)]
                else:
                    raise OSError(errno.EADDRNOTAVAIL, "the name has no address")
                if winner is not None:
                    return winner
                if lost:  # a refusal is an answer: the next address need not wait its turn
                    next_start = now
                now = time.monotonic()
        finally:
            for attempt in (*self._waiting, *self._running.values()):
                attempt.socket.close()

    def _start(self, attempt: _Attempt) -> tuple[socket.socket | None, bool]:
        """Begin one attempt: the socket, if it connected at once, and whether it was lost at once."""
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
        self._lose(attempt, code)
        return None, True

    def _wait(self, seconds: float) -> tuple[socket.socket | None, bool]:
        """Wait for an attempt to end: the one that connected, and whether any was lost."""
        lost = False
        for number, _ in self._poll.poll(max(0.0, seconds) * 1000):
            attempt = self._running.pop(number)
            self._poll.unregister(number)
            code = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return attempt.socket, lost
            self._lose(attempt, code)
            lost = True
        return None, lost

    def _lose(self, attempt: _Attempt, code: int) -> None:
        attempt.socket.close()
        self._errors[attempt.place] = OSError(code, os.strerror(code))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One address, its place among the others, and the socket that is to connect to it."""

    place: int
    address: Address
    socket: socket.socket


def _interleaved(addresses: Sequence[Address]) -> Iterator[Address]:
    """The addresses with their families taking turns, the preferred family first (RFC 8305 section 4)."""
    first = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    for pair in zip_longest(first, other):
        yield from (address for address in pair if address is not None)
