"""The units of the monitor on this machine: their text, state, start, and the output of the check."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.errors import InstallationError
from monitor.installation import unit_text
from monitor.installation.programs import Ended, require, run
from monitor.installation.unit_text import UnitText

SERVICE = "tigr-monitor.service"
CHECK = "tigr-monitor-check.service"
_BOOTED = Path("/run/systemd/system")  # exists if systemd is process 1: sd_booted(3)
_TIMEOUT = 5.0  # seconds for a response of systemd


def is_booted() -> bool:
    """Return whether systemd manages this machine."""
    return _BOOTED.is_dir()


def properties(*names: str) -> dict[str, str]:
    """Return these properties of the service. Raises `InstallationError`."""
    show = ["systemctl", "show", f"--property={','.join(names)}", "--", SERVICE]
    lines = require(f"cannot read the state of {SERVICE}", *show, timeout=_TIMEOUT).text.splitlines()
    return dict.fromkeys(names, "") | dict(line.partition("=")[::2] for line in lines)


def require_systemd(remedy: str) -> None:
    """Raise `InstallationError` if this machine has no running systemd, or this process is not root."""
    if not is_booted():
        raise InstallationError(f"systemd does not run on this machine, as in most containers: {remedy}", exit_status=2)
    if os.geteuid() != 0:
        raise InstallationError("only root can write the secrets of the service; use sudo", exit_status=2)


def unit(name: str) -> UnitText:
    """Return the text of an installed unit. Raises `InstallationError`."""
    ended = run("systemctl", "cat", "--", name)
    if ended.status != 0:
        raise InstallationError(
            f"the unit {name} is not installed: install the units first, as docs/install.md describes", exit_status=2
        )
    return unit_text.parse(ended.text)


def reload_units() -> None:
    """Let systemd read its units again. Raises `InstallationError`."""
    require("systemd cannot read its units again", "systemctl", "daemon-reload")


def is_running() -> bool:
    """Return whether the service runs."""
    return properties("ActiveState")["ActiveState"] in {"active", "reloading"}


def restart() -> Ended:
    """Start the service, also if it runs, and wait until it has started."""
    run("systemctl", "reset-failed", SERVICE)  # otherwise a wait for the next automatic restart goes on
    return run("systemctl", "restart", SERVICE)


def enable() -> None:
    """Start the service at each boot. Raises `InstallationError`."""
    require(f"cannot enable {SERVICE}", "systemctl", "enable", SERVICE)


def failure() -> str:
    """Return why the service does not run, as it has reported."""
    shown = properties("StatusText", "Result", "ExecMainStatus")
    return shown["StatusText"] or f"result {shown['Result']}, status {shown['ExecMainStatus']}"


def check() -> tuple[bool, str]:
    """Run the unit of the check; return whether it succeeded, and its output.

    If the program did not run, the output has the messages of systemd instead.
    """
    before = _cursor()
    succeeded = run("systemctl", "start", CHECK).status == 0
    run("journalctl", "--sync")
    output = ["journalctl", "--quiet", "--output=cat", "--no-pager", *before]
    text = run(*output, f"_SYSTEMD_UNIT={CHECK}").text.rstrip()
    return succeeded, text or run(*output, f"--unit={CHECK}").text.rstrip()


def _cursor() -> list[str]:
    """Return the option that selects the messages from now on."""
    run("journalctl", "--sync")
    text = run("journalctl", "--quiet", "--lines=1", "--output=cat", "--show-cursor", "--no-pager").text
    cursors = [line.removeprefix("-- cursor: ") for line in text.splitlines() if line.startswith("-- cursor: ")]
    return [f"--after-cursor={cursors[-1]}"] if cursors else []
