"""The fault switch of a host: one fault until it is cleared or for a number of connections, or a queue of faults."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from monitor.simulator.faults import ApiOpen, HostFault, Pong, Refuse, TokenResponse
from monitor.simulator.request_log import Host

_FOREIGN: dict[Host, tuple[type, ...]] = {Host.TOKEN: (Pong, ApiOpen), Host.API: (TokenResponse,)}


class SetRefusing(Protocol):
    """A function that makes a host refuse or accept connections."""

    def __call__(self, *, wanted: bool) -> None:
        """Refuse connections from now on if `wanted` is True, else accept them."""


class FaultSwitch:
    """The fault of each next connection of a host. Thread-safe.

    A connection takes a fault when it is accepted, for its first request; each further request on the connection takes
    another one. A connection without a request takes a fault too: a client that fetches the certificate on a second
    connection uses up a fault that was set for one connection.
    """

    def __init__(self, host: Host, refuse: SetRefusing) -> None:
        """Start without a fault. `refuse` is called when the host may have to begin or stop refusing connections."""
        self._host = host
        self._refuse = refuse
        self._lock = threading.Lock()
        self._queue: deque[HostFault | None] = deque()
        self._fault: HostFault | None = None
        self._left: int | None = None  # further connections that have the fault; None: all

    def set(self, fault: HostFault, times: int | None = None) -> None:
        """Set the fault of all further connections, or of the next `times`, and clear the previous fault and the queue.

        Raises ValueError for a fault that this host cannot have, and for `times` below 1 or with `Refuse`.
        """
        self._check(fault)
        if times is not None and times < 1:
            raise ValueError("`times` must be a positive number")
        if times is not None and isinstance(fault, Refuse):
            raise ValueError("`refuse` cannot be combined with `times`: refused connections are not counted")
        with self._lock:
            self._queue.clear()
            self._fault, self._left = fault, times
            self._refuse(wanted=isinstance(fault, Refuse))

    def queue(self, *faults: HostFault | None) -> None:
        """Append faults, each for one connection (None: no fault). After the queue the set fault applies again.

        Raises ValueError for a fault that this host cannot have, and for `Refuse`.
        """
        for fault in faults:
            if isinstance(fault, Refuse):
                raise ValueError("`refuse` cannot be queued: refused connections are not counted; use set and clear")  # noqa: TRY004
            if fault is not None:
                self._check(fault)
        with self._lock:
            self._queue.extend(faults)

    def clear(self) -> None:
        """Clear the fault and the queue, for new connections; hanging requests keep hanging."""
        with self._lock:
            self._queue.clear()
            self._fault = self._left = None
            self._refuse(wanted=False)

    @property
    def current(self) -> HostFault | None:
        """Return the fault of the next connection."""
        with self._lock:
            return self._queue[0] if self._queue else self._fault

    def take(self) -> HostFault | None:
        """Return the fault of this connection, and remove it from the queue."""
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            fault = self._fault
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    self._fault = self._left = None
            return fault

    def _check(self, fault: HostFault) -> None:
        if isinstance(fault, _FOREIGN[self._host]):
            raise ValueError(f"{type(fault).__name__} is not a fault of the {self._host} host")  # noqa: TRY004
