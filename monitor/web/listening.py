"""Listening sockets of the web server: one, or one per address of a name, which are served as one."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

_BACKLOG = 1024
_PORT_ATTEMPTS = 20  # to find a free port that all addresses have
# An address that does not exist on this machine, or a protocol that is switched off.
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ALL = ("", "::")


class ListeningSockets:
    """Several listening sockets with the same port and the methods of one that the web server uses."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = list(sockets)
        self._readable = select.epoll() if len(self._sockets) > 1 else None
        if self._readable is not None:
            for each in self._sockets:
                self._readable.register(each, select.EPOLLIN)

    @property
    def port(self) -> int:
        """The port of all sockets."""
        return int(self._sockets[0].getsockname()[1])

    def fileno(self) -> int:
        """Return a descriptor that is readable if a connection waits on any socket; -1 if they are closed."""
        return self._sockets[0].fileno() if self._readable is None else self._readable.fileno()

    def settimeout(self, timeout: float) -> None:
        """Set the timeout of each socket, in seconds."""
        for each in self._sockets:
            each.settimeout(timeout)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection that waits on any socket. Raises `OSError`, and `BlockingIOError` if there is none."""
        for each in list(self._sockets):
            with suppress(BlockingIOError):
                accepted = each.accept()
                self._sockets.remove(each)
                self._sockets.append(each)  # the others are first next time
                return accepted
        raise BlockingIOError

    def close(self) -> None:
        """Close all sockets."""
        if self._readable is not None:
            self._readable.close()
        for each in self._sockets:
            each.close()


def bind(host: str, port: int) -> ListeningSockets:
    """Return sockets that listen on every address of `host`. Raises `OSError` if there is none or one is in use.

    '' and '::' are all IPv4 and IPv6 addresses, and `localhost` is 127.0.0.1 and ::1 (RFC 6761 section 6.3). Addresses
    that do not exist on this machine, because IPv6 is switched off for example, are left out if there are others.
    """
    if host in _ALL:
        return ListeningSockets([_all_addresses(port)])
    attempts = _PORT_ATTEMPTS if port == 0 else 1
    while True:
        attempts -= 1
        try:
            return ListeningSockets(_each(_addresses(host, port), port))
        except OSError as error:
            # A port that is free at the first address may be in use at another one.
            if error.errno != errno.EADDRINUSE or not attempts:
                raise


def _all_addresses(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
    return socket.create_server(("", port), family=socket.AF_INET, backlog=_BACKLOG)


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    if host.lower() == "localhost":
        return [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in entries))


def _each(addresses: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    with ExitStack() as opened:
        for family, address in addresses:
            try:
                listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
                continue
            opened.enter_context(listening)
            sockets.append(listening)
            port = listening.getsockname()[1]
        if absent is not None and not sockets:
            raise absent
        opened.pop_all()
    return sockets
