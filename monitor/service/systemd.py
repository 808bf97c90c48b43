"""Notification of systemd: start, reload, stop, status and watchdog, as datagrams of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

_MAX_STATUS = 1000  # characters: a datagram that is too long is dropped completely
_CHECK_INTERVAL = 1.0  # seconds between two checks for a changed status


class SystemdNotifier:
    """Sends messages to systemd. Without NOTIFY_SOCKET it does nothing; a message that cannot be sent is dropped."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._stopping = threading.Event()

    def ready(self) -> None:
        """Report the end of the start or of a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report the start of a reload; `ready` reports its end."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report the stop and end the status reports."""
        self._stopping.set()
        self._send("STOPPING=1")

    def start_failed(self, reason: str) -> None:
        """Report the reason why the daemon does not start."""
        self._send(f"STATUS={_one_line(reason)}")

    def report(self, status: Callable[[], str], stalled: Callable[[], list[str]]) -> None:
        """Start a thread that reports each change of `status`, and feeds the watchdog while nothing is `stalled`."""
        if self._address is not None:
            threading.Thread(target=self._report, args=(status, stalled), name="notify", daemon=True).start()

    def _report(self, status: Callable[[], str], stalled: Callable[[], list[str]]) -> None:
        # At the latest after half of the limit, as sd_watchdog_enabled(3) recommends, so one check interval earlier.
        pause = self._watchdog / 2 if self._watchdog is not None else None
        interval = _CHECK_INTERVAL if pause is None else min(_CHECK_INTERVAL, pause / 2)
        reported, fed_at = "", float("-inf")
        while not self._stopping.is_set():
            text = status()
            if text != reported:
                self._send(f"STATUS={_one_line(text)}")
                reported = text
            now = time.monotonic()
            if pause is not None and now - fed_at >= pause - interval and not stalled():
                self._send("WATCHDOG=1")
                fed_at = now
            self._stopping.wait(interval)

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        # A failure is ignored: if messages are lost, systemd restarts the daemon by its watchdog.
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
    return " ".join(text.split())[:_MAX_STATUS]


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Return the watchdog's limit in seconds; None if systemd expects no messages from this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) else None
