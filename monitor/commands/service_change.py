"""New secrets or settings for the running service: a reload if it reads them itself, else a restart."""

from __future__ import annotations

from monitor.commands.reload import request_reload
from monitor.errors import InstallationError
from monitor.installation import systemd
from monitor.installation.stores import Way


class RefusedError(InstallationError):
    """The service refused to run with what is stored. The message has its reasons."""


def put_into_force(way: Way) -> str:
    """Let the running service use what is stored; return the outcome as text.

    Raises `RefusedError`, and `DaemonError` if the service does not respond to a reload.
    """
    return request_reload(None) if way is Way.GROUP_READABLE else restart()


def restart() -> str:
    """Restart the service; return the outcome as text. Raises `RefusedError`."""
    if systemd.restart().status != 0:
        raise RefusedError(f"the service does not start: {systemd.failure()}")
    return "the service was restarted"
