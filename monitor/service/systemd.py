"""What systemd is told, and asks for, while the daemon runs: the datagrams of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

_LONGEST = 1000  # characters of a status: a datagram that is too long would be dropped whole
_LOOK = 1.0  # seconds between two looks at whether there is something to tell


class SystemdNotifier:
    """The way to the service manager. Without NOTIFY_SOCKET nothing is done; what cannot be sent is dropped."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._ending = threading.Event()

    def ready(self) -> None:
        """Say that the start, or a reload, is done."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that a reload began; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that this is the end, and report no more."""
        self._ending.set()
        self._send("STOPPING=1")

    def refused(self, why: str) -> None:
        """Say why there will be no start."""
        self._send(f"STATUS={_one_line(why)}")

    def report(self, status: Callable[[], str], stalled: Callable[[], list[str]]) -> None:
        """From now on tell what `status` says when that changes, and that all is well while nothing is `stalled`."""
        if self._address is not None:
            threading.Thread(target=self._report, args=(status, stalled), name="notify", daemon=True).start()

    def _report(self, status: Callable[[], str], stalled: Callable[[], list[str]]) -> None:
        # Half of the limit, less what a look takes: sd_watchdog_enabled(3) asks for half at the latest.
        pause = self._watchdog / 2 if self._watchdog is not None else None
        look = _LOOK if pause is None else min(_LOOK, pause / 2)
        told, well_at = "", float("-inf")
        while not self._ending.is_set():
            text = status()
            if text != told:
                self._send(f"STATUS={_one_line(text)}")
                told = text
            now = time.monotonic()
            if pause is not None and now - well_at >= pause - look and not stalled():
                self._send("WATCHDOG=1")
                well_at = now
            self._ending.wait(look)

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # Not heard, a daemon is restarted soon enough; to stop for that reason would help nobody.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.settimeout(1)
            sock.sendto("\n".join(lines).encode(), self._address)


def _address(text: str) -> str | None:
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Seconds within which systemd wants to hear from this process; None if it asks nothing of it."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None
