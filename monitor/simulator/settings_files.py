"""The settings of a simulator as files, for a monitor that runs as a service."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from monitor.simulator.simulator import Simulator

_SETTINGS, _CA = "settings.env", "ca.pem"


def assignments(settings: Mapping[str, str]) -> list[str]:
    """Return one assignment per line, for a shell and for `EnvironmentFile=` of systemd."""
    return [f"{name}={shlex.quote(value)}" for name, value in settings.items()]


@contextmanager
def settings_files(simulator: Simulator, directory: Path) -> Iterator[Path]:
    """Write the settings of a monitor and the CA certificate into a directory; delete both at the end.

    Yield the path of the settings, which only this user can read; the CA certificate is for every user. Raises OSError.
    """
    settings, ca = directory / _SETTINGS, directory / _CA
    created = not directory.exists()
    directory.mkdir(exist_ok=True)
    try:
        if created:
            directory.chmod(0o755)
        _write(ca, simulator.ca_file.read_text(), 0o644)
        lines = assignments(simulator.settings() | {"TIGR_CA_FILE": str(ca)})
        _write(settings, "".join(f"{line}\n" for line in lines), 0o600)
        yield settings
    finally:
        with suppress(OSError):
            for path in (settings, ca):
                path.unlink(missing_ok=True)
            if created:
                directory.rmdir()


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file. One that a killed simulator has left is replaced, and a symbolic link is not followed."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)  # independent of the umask
        file.write(text)
