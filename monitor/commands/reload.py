"""The `reload` command: let the daemon on this machine read its settings again, and wait for the outcome."""

from __future__ import annotations

import argparse

from monitor.commands.connection import fetch
from monitor.commands.layout import printable_lines
from monitor.errors import DaemonError, ReloadRefusedError
from monitor.output.standard_streams import print_line

_TIMEOUT = 80.0  # seconds: the daemon waits 60 s for its reload, systemd 90 s for this command
_REFUSED = 422


def reload(options: argparse.Namespace) -> int:
    """Reload; print the changes. Raises `DaemonError`, with the problems if the reload is refused."""
    print_line(request_reload(options.socket))
    return 0


def request_reload(option: str | None) -> str:
    """Reload and return the changes as text; `option` is the value of `--socket`.

    Raises `ReloadRefusedError` with the problems, and `DaemonError` if the daemon does not respond.
    """
    status, text = fetch(option, "POST", "/reload", _TIMEOUT)
    text = printable_lines(text.strip())
    if status == _REFUSED:
        raise ReloadRefusedError(f"the reload is refused, the old settings stay in force:\n{text}", exit_status=1)
    if status != 200:
        raise DaemonError(f"the reload failed: {text}", exit_status=1)
    return text
