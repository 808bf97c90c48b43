"""Errors that cross packages, and the description of an exception without its text."""

from __future__ import annotations

import traceback
from pathlib import Path

from monitor.machine.limits import local_limit

_SOURCE = Path(__file__).parent


class ConfigError(Exception):
    """Invalid settings or an invalid web configuration. Each problem is one line for the operator, without secrets."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DaemonError(Exception):
    """A command cannot use the daemon on this machine. The message is for the operator, without secrets."""

    def __init__(self, message: str, exit_status: int = 3) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class ReloadRefusedError(DaemonError):
    """The daemon refuses new settings, and the old ones stay in force. The message has its problems."""


class InstallationError(Exception):
    """The installed service cannot be set up or changed. The message is for the operator, without secrets."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class NoDaemonError(DaemonError):
    """No daemon listens on this machine."""


def describe_exception(error: BaseException) -> str:
    """Return the type of `error` and the source line that raised it, without its text, which may contain a secret.

    A file of this program is named with its package (`http/client.py:88`), because names repeat across packages. If a
    limit of this machine caused `error`, the text begins with it.
    """
    limit = local_limit(error)
    prefix = f"{limit}: " if limit else ""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f"{prefix}{type(error).__name__}"
    return f"{prefix}{type(error).__name__} at {describe_place(frames[-1].filename, frames[-1].lineno)}"


def describe_place(filename: str, lineno: int | None) -> str:
    """Return a source line as `module.py:88`; a file of this program is named with its package."""
    path = Path(filename)
    shown = path.relative_to(_SOURCE) if path.is_relative_to(_SOURCE) else path.name
    return f"{shown}:{lineno}"
