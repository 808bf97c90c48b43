"""The end of `setup`: one check with the new secrets, then the start of the service."""

from __future__ import annotations

import time
from dataclasses import dataclass

from monitor.commands.check import CheckOutput, report
from monitor.commands.connection import fetch_json
from monitor.commands.daemon_check import daemon_check
from monitor.commands.layout import printable_lines
from monitor.commands.program import program
from monitor.commands.secret_input import ask_yes
from monitor.commands.service_change import RefusedError, put_into_force, restart
from monitor.errors import DaemonError, InstallationError, ReloadRefusedError
from monitor.installation import systemd
from monitor.installation.stores import Way
from monitor.output.standard_streams import print_line

_LOGIN_TIMEOUT = 90.0  # seconds
_POLL_INTERVAL = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes since the service has started."""

    files: bool  # secrets or settings
    units: bool  # the way in which secrets are stored


def check_and_start(way: Way, changes: Changes, *, is_asked: bool) -> int:
    """Check and start the service, or let it use the changes if it runs; return 0 if the check succeeds, else 1.

    Raises `InstallationError`.
    """
    if systemd.is_running():
        return _check_running(way, changes)
    print_line("checking: one login and one ping for each environment")
    succeeded, output = systemd.check()
    print_line(printable_lines(output))
    if not succeeded and not (is_asked and ask_yes("The check failed. Start the service all the same?", default=False)):
        raise InstallationError(
            "the check failed, so the service was not started; all values are stored\n"
            f"correct the cause, which stands above, and repeat: {program()} setup\n"
            "or start the service all the same: systemctl enable --now tigr-monitor"
        )
    try:
        restart()
    except RefusedError as error:
        raise InstallationError(f"{error}; all values are stored; correct it and repeat {program()} setup") from None
    systemd.enable()
    print_line("the service runs, and starts at each boot")
    print_line(f"its state: {program()} status")
    return 0 if succeeded else 1


def _wait_for_logins() -> bool:
    """Wait until each environment has tried its first login: a new process keeps the interval of the one before.

    Return whether all have. Raises `DaemonError`.
    """
    print_line("waiting for the first login, which comes a ping interval after the last one before the restart")
    deadline = time.monotonic() + _LOGIN_TIMEOUT
    while time.monotonic() < deadline:
        environments = fetch_json(None, "/api/v1/status")["environments"]
        if all(environment["login"]["since"] for environment in environments):
            return True
        time.sleep(_POLL_INTERVAL)
    return False


def _check_running(way: Way, changes: Changes) -> int:
    """Let the running service use the changes, and check through it."""
    has_logged_in = True
    try:
        if changes.units or (changes.files and way is not Way.GROUP_READABLE):
            print_line(restart())
            has_logged_in = _wait_for_logins()
        elif changes.files:
            print_line(put_into_force(way))
    except (DaemonError, RefusedError) as error:
        is_refused = isinstance(error, RefusedError | ReloadRefusedError)
        remedy = (
            f"correct it and repeat {program()} setup" if is_refused else "restart it: systemctl restart tigr-monitor"
        )
        raise InstallationError(f"{error}\nall values are stored; {remedy}") from None
    systemd.enable()
    if not has_logged_in:
        raise InstallationError(
            "not checked: the service runs and has not logged in yet, because the ping interval is long; all values "
            f"are stored\nlater: {program()} check"
        )
    print_line("checking: one login and one ping for each environment, through the running service")
    if report(daemon_check(None, [], ping_only=False), CheckOutput()):
        print_line("the check succeeded, and the service runs")
        return 0
    raise InstallationError(
        f"the check failed; the service runs, and all values are stored\nits state: {program()} status"
    )
