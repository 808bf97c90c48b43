"""Programs of the system that the commands run: systemctl, journalctl, systemd-creds, groupadd.

A value is passed through standard input, never as an argument or a variable, which other users can read.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field

from monitor.errors import InstallationError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLES = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended. Its output may be a secret, so it is in no `repr`."""

    status: int
    output: bytes = field(repr=False)
    errors: str = field(repr=False)

    @property
    def text(self) -> str:
        """Return the output as text."""
        return self.output.decode(errors="replace")

    @property
    def reason(self) -> str:
        """Return the last line of the error messages, or the status."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return lines[-1] if lines else f"status {self.status}"


def run(*arguments: str, data: bytes = b"", timeout: float | None = None) -> Ended:
    """Run a program with `data` as its input.

    Raises `InstallationError` if it is not installed, or does not end within `timeout` seconds.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - no shell, and the arguments are names that were validated
            arguments, input=data, capture_output=True, env=_VARIABLES, timeout=timeout, check=False
        )
    except OSError as error:
        raise InstallationError(f"cannot run {arguments[0]}: {error.strerror}; install it") from None
    except subprocess.TimeoutExpired:
        raise InstallationError(f"{arguments[0]} has not ended within {timeout:g} s; repeat the command") from None
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))


def require(what: str, *arguments: str, data: bytes = b"", timeout: float | None = None) -> Ended:
    """Run a program that must succeed. Raises `InstallationError`, which begins with `what` failed."""
    ended = run(*arguments, data=data, timeout=timeout)
    if ended.status != 0:
        raise InstallationError(f"{what}: {ended.reason}")
    return ended
