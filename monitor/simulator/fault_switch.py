"""The switch of one host's faults: on until further notice, for so many connections, or one after the other."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from monitor.simulator.faults import ApiOpen, HostFault, Pong, Refuse, TokenResponse
from monitor.simulator.request_log import Host

_FOREIGN: dict[Host, tuple[type, ...]] = {Host.TOKEN: (Pong, ApiOpen), Host.API: (TokenResponse,)}


class SetRefusing(Protocol):
    """What lets a host refuse connections, or accept them."""

    def __call__(self, *, wanted: bool) -> None:
        """Refuse from now on, or accept."""


class FaultSwitch:
    """Which fault the next connection meets. Safe among threads.

    A fault is taken when a connection is accepted and holds for its first request; further requests on the same
    connection take their own. A connection that sends nothing takes one too: a client that looks at the certificate on
    a second connection uses up a fault that was set for one.
    """

    def __init__(self, host: Host, refuse: SetRefusing) -> None:
        """`refuse` is told whether it is wanted that the host refuses connections, whenever that may have changed."""
        self._host = host
        self._refuse = refuse
        self._lock = threading.Lock()
        self._queue: deque[HostFault | None] = deque()
        self._fault: HostFault | None = None
        self._left: int | None = None  # how many more connections meet it; None: all of them

    def set(self, fault: HostFault, times: int | None = None) -> None:
        """Let every connection from now on, or the next `times`, meet this fault; what was set or queued is gone.

        Raises ValueError for a fault that this host cannot have.
        """
        self._check(fault)
        if times is not None and (times < 1 or isinstance(fault, Refuse)):
            raise ValueError("times is a positive number; who refuses connections cannot count them")
        with self._lock:
            self._queue.clear()
            self._fault, self._left = fault, times
            self._refuse(wanted=isinstance(fault, Refuse))

    def queue(self, *faults: HostFault | None) -> None:
        """Let each of the next connections meet one of these, in this order (None: all is well); then what was set.

        Raises ValueError for a fault that this host cannot have.
        """
        for fault in faults:
            if isinstance(fault, Refuse):
                raise ValueError("who refuses connections cannot count them: use set and clear")  # noqa: TRY004
            if fault is not None:
                self._check(fault)
        with self._lock:
            self._queue.extend(faults)

    def clear(self) -> None:
        """All is well from the next connection on; requests that hang go on hanging."""
        with self._lock:
            self._queue.clear()
            self._fault = self._left = None
            self._refuse(wanted=False)

    @property
    def current(self) -> HostFault | None:
        """What the next connection will meet."""
        with self._lock:
            return self._queue[0] if self._queue else self._fault

    def take(self) -> HostFault | None:
        """What this connection meets."""
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
            raise ValueError(f"{type(fault).__name__} is no fault of the {self._host} host")  # noqa: TRY004
