"""The environments that the TOML file enables, and a change of them that keeps every other line and comment."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from monitor.config.schema import KNOWN_ENVIRONMENTS
from monitor.config.values import is_disabled
from monitor.errors import InstallationError
from monitor.installation.files import write_atomically
from monitor.machine.files import read_regular

_MAX_FILE = 1024 * 1024  # bytes
_BYTE_ORDER_MARK = "\ufeff"
_ENABLED = re.compile(r"(\s*enabled\s*=\s*)([^#\r\n]*?)(\s*(?:#.*)?\r?\n?)")
_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(?:#.*)?")


class EnvironmentSelection:
    """The environments of a TOML file."""

    def __init__(self, path: Path) -> None:
        """Read the file; one that does not exist is empty. Raises `InstallationError`."""
        self.path = Path(os.path.realpath(path))  # a link stays a link
        try:
            self._text = read_regular(self.path, _MAX_FILE).decode()
        except FileNotFoundError:
            self._text = ""
        except OSError as error:
            raise InstallationError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InstallationError(f"{path} is not UTF-8, which TOML must be; correct it", exit_status=2) from None
        self._tables = self._environments(self._text)

    def names(self) -> list[str]:
        """Return the environments that exist, disabled ones included."""
        return [*KNOWN_ENVIRONMENTS, *sorted(name for name in self._tables if name not in KNOWN_ENVIRONMENTS)]

    def enabled(self) -> list[str]:
        """Return the environments that are monitored."""
        return [name for name in self.names() if not is_disabled(self._tables.get(name, {}).get("enabled", True))]

    def enable_only(self, chosen: Collection[str]) -> bool:
        """Enable these environments and disable every other one; return whether the file has changed.

        Raises `InstallationError`, with the lines to write by hand if the file has a form that is not understood.
        """
        before, text = self.enabled(), self._text
        changed = [name for name in self.names() if (name in before) != (name in chosen)]
        for name in changed:
            text = _with_enabled(text, name, enabled=name in chosen)
        if not changed:
            return False
        if not self._is_change_of(text, {name: name in chosen for name in changed}):
            lines = ", ".join(f"[environments.{name}] enabled = {str(name in chosen).lower()}" for name in changed)
            raise InstallationError(f"cannot change {self.path}: its form is unusual; write into it by hand: {lines}")
        try:
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o644
            group = self.path.stat().st_gid if self.path.exists() else -1
            write_atomically(self.path, text.encode(), mode, group)
        except OSError as error:
            raise InstallationError(f"cannot write {self.path}: {error.strerror}") from None
        self._text, self._tables = text, self._environments(text)
        return True

    def _is_change_of(self, text: str, enabled: Mapping[str, bool]) -> bool:
        """Return whether `text` differs from the file in these switches only."""
        with contextlib.suppress(InstallationError, ValueError):
            wanted = tomllib.loads(self._text.removeprefix(_BYTE_ORDER_MARK))
            for name, switch in enabled.items():
                wanted.setdefault("environments", {}).setdefault(name, {})["enabled"] = switch
            return tomllib.loads(text.removeprefix(_BYTE_ORDER_MARK)) == wanted
        return False

    def _environments(self, text: str) -> dict[str, dict[str, Any]]:
        try:
            tree = tomllib.loads(text.removeprefix(_BYTE_ORDER_MARK))
        except (ValueError, RecursionError):
            message = f"{self.path} is not valid TOML; correct it first: tigr-monitor config shows the place"
            raise InstallationError(message, exit_status=2) from None
        tables = tree.get("environments", {})
        if not isinstance(tables, dict):
            return {}
        return {name: table for name, table in tables.items() if isinstance(table, dict)}


def _with_enabled(text: str, name: str, *, enabled: bool) -> str:
    """Return the text of a TOML file with the switch of an environment, next to its other settings."""
    value = str(enabled).lower()
    lines = text.splitlines(keepends=True)
    header = f"[environments.{name}]"
    for index, line in enumerate(lines):
        if _is_header(line, f"environments.{name}"):
            for below in range(index + 1, len(lines)):
                if _HEADER.fullmatch(lines[below].rstrip("\r\n")):
                    break
                if match := _ENABLED.fullmatch(lines[below]):
                    lines[below] = f"{match[1]}{value}{match[3]}"
                    return "".join(lines)
            end = "\n" if line.endswith("\n") else ""
            lines[index] = f"{line.rstrip()}\n"
            lines.insert(index + 1, f"enabled = {value}{end}")
            return "".join(lines)
    for index, pair in enumerate(itertools.pairwise(lines)):  # the example in the shipped file
        if [each.strip() for each in pair] == [f"# {header}", "# enabled = false"]:
            lines[index : index + 2] = [f"{header}\n", f"enabled = {value}\n"]
            return "".join(lines)
    separator = "\n" if text and text.endswith("\n") else "\n\n" if text else ""
    return f"{text}{separator}{header}\nenabled = {value}\n"


def _is_header(line: str, name: str) -> bool:
    match = _HEADER.fullmatch(line.rstrip("\r\n"))
    return match is not None and not line.lstrip().startswith("[[") and re.sub(r"[\s\"']", "", match[1]) == name
