"""Names of secret files that are almost right: without the prefix, with one underscore, with a suffix."""

from __future__ import annotations

import re
from collections.abc import Iterable

from monitor.config.sources import Key, file_name

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_PREFIXES = ("tigr", "environments", "environment", "env")


def intended(name: str, keys: Iterable[Key]) -> Key | None:
    """Return the key among `keys` that a file of this name was probably meant to set; None if there is none."""
    simple = _simple(name)
    return next((key for key in keys if simple == _simple(file_name(key))), None)


def _simple(name: str) -> str:
    """Return the letters and digits that distinguish a name, in lower case: `prodpassword`."""
    stem = name.lower().strip(".~ ").split(".")[0]
    parts = [part for part in _SEPARATORS.split(stem) if part]
    while parts and parts[0] in _PREFIXES:
        parts.pop(0)
    return "".join(parts)
