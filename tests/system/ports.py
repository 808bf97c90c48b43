"""The ports of the service, Prometheus and Alertmanager, which machines and containers share with this machine."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def reserved_ports() -> Iterator[None]:
    """Wait until no other run of pytest on this machine uses the ports, and reserve them."""
    with Path(tempfile.gettempdir(), "tigr-monitor-tests-ports.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
