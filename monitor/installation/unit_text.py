"""The text of a unit with its drop-ins, as `systemctl cat` prints it: which secrets and settings the service gets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.installation.stores import CREDENTIAL, GROUP, Store, Way

_COMMENTS = ("#", ";")


@dataclass(frozen=True, slots=True)
class UnitText:
    """The assignments of a unit in their order, an empty one removed with those before it: systemd.syntax(7)."""

    assignments: dict[str, tuple[str, ...]]

    @property
    def store(self) -> Store | None:
        """Return where the service gets its secrets from; None if it is another way than the three."""
        directory = self.variables.get("TIGR_SECRETS_DIR")  # it precedes the credentials
        if directory:
            groups = " ".join(self.assignments.get("SupplementaryGroups", ())).split()
            group = GROUP if GROUP in groups or not groups else groups[-1]
            return Store(Way.GROUP_READABLE, Path(directory), group)
        for name, way in (("LoadCredentialEncrypted", Way.ENCRYPTED), ("LoadCredential", Way.ROOT_ONLY)):
            for value in self.assignments.get(name, ()):
                identifier, _, path = value.partition(":")
                if identifier == CREDENTIAL and path.startswith("/"):
                    return Store(way, Path(path))
        return None

    @property
    def config_file(self) -> Path | None:
        """Return the TOML file of the service."""
        path = self.variables.get("TIGR_CONFIG_FILE")
        return Path(path) if path else None

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables that the unit sets."""
        pairs = [pair for value in self.assignments.get("Environment", ()) for pair in _split(value)]
        return {name: value for name, separator, value in (pair.partition("=") for pair in pairs) if separator}


def parse(text: str) -> UnitText:
    """Return the assignments of a unit."""
    assignments: dict[str, tuple[str, ...]] = {}
    for line in _lines(text):
        name, separator, value = (part.strip() for part in line.partition("="))
        if separator:
            assignments[name] = (*assignments.get(name, ()), value) if value else ()
    return UnitText(assignments)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without comments; a backslash at the end of a line joins the next one."""
    joined = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith(_COMMENTS):
            continue
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        yield joined + line
        joined = ""
    if joined:
        yield joined


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # a quote without its end, which systemd ignores too
        return []
