"""The `health` command: request the health of the local daemon, for the health check of a container."""

from __future__ import annotations

import argparse

from monitor.commands.connection import fetch
from monitor.commands.layout import printable_lines
from monitor.errors import DaemonError
from monitor.output.standard_streams import print_line

_TIMEOUT = 3.0  # seconds, for each wait


def health(options: argparse.Namespace) -> int:
    """Print the health of the daemon; return 0 if it is healthy, else 1.

    Raises `DaemonError`, also with status 1: container runtimes define no other status of a health check.
    """
    try:
        status, text = fetch(options.socket, "GET", "/-/healthy", _TIMEOUT)
    except DaemonError as error:
        raise DaemonError(str(error), exit_status=1) from None
    print_line(printable_lines(text.strip()))
    return 0 if status == 200 else 1
