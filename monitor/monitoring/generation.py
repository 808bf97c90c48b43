"""Settings generations of one environment: whether a Result was obtained with the settings that are in force.

A reload does not wait for exchanges in progress. A generation lasts until the addresses, the credentials, the client
certificate, the proxy or the trust anchors change; a Result of an older generation describes another host or another
user, and decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings

# Settings whose change begins no generation: they affect neither the receiver of a request nor its credentials.
_OF_ALL_GENERATIONS = (
    "form_fields",
    "ping_interval",
    "auth_interval",
    "confirm_interval",
    "timeout",
    "renew_margin",
    "rejected_logins",
    "token_host_check",
    "unauthenticated_interval",
    "severity",
    "maintenance",
)


class Generations:
    """The current generation of one environment, and the lock under which verdicts and new settings are applied."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # never held during an exchange
        self._current = 0
        self._ended = False

    @property
    def current(self) -> int:
        """The current generation. Read it under the lock, together with the settings of an exchange."""
        return self._current

    def begin_next(self) -> None:
        """Begin a generation. From then on, no Result of an earlier one decides anything."""
        with self.lock:
            self._current += 1

    def end(self) -> None:
        """End the last generation, because the environment was removed."""
        with self.lock:
            self._ended = True

    @contextmanager
    def verdict(self, generation: int) -> Iterator[bool]:
        """Hold the lock to apply a verdict; return whether an exchange that began in `generation` still decides."""
        with self.lock:
            yield generation == self._current and not self._ended

    def is_current(self, generation: int) -> bool:
        """Return whether an exchange that began in `generation` still decides."""
        with self.verdict(generation) as decides:
            return decides


def belong_together(old: EnvironmentSettings, new: EnvironmentSettings) -> bool:
    """Return whether both settings belong to one generation, apart from the trust anchors."""
    unchanged = {name: getattr(new, name) for name in _OF_ALL_GENERATIONS}
    return replace(old, **unchanged) == new
