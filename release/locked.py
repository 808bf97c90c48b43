"""The Python packages that the installations contain, as the locked requirements name them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The installations with the packages of each set; the Debian package contains what `simulate` needs.
INSTALLATIONS = {
    "runtime": ("image", "venv"),
    "demo": ("image of the demo", "Debian package"),
    "build": ("venv",),  # pip builds the wheel there
}
PROJECT = "tigr-monitor"  # as a parent in the sets

_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+) (?P<hashes>(?:\\\n +--hash=\S+ ?)+)\n +# via (?P<via>.+)$", re.MULTILINE
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class Package:
    """A package with the only version of it that an installation may contain."""

    name: str
    version: str
    hashes: frozenset[str]  # SHA-256 of each of its files; pip installs no other
    parents: frozenset[str]  # the names of the packages that need it
    sets: frozenset[str]


def packages(root: Path) -> list[Package]:
    """Return the packages of all sets by name. Raises `ValueError` if a set has another form, or if two sets differ."""
    merged: dict[str, Package] = {}
    for name in INSTALLATIONS:
        for package in _of_set(root, name):
            other = merged.get(package.name, package)
            if (other.version, other.hashes) != (package.version, package.hashes):
                raise ValueError(f"the sets pin {package.name} differently: run `make lock`.")
            parents, sets = other.parents | package.parents, other.sets | package.sets
            merged[package.name] = Package(package.name, package.version, package.hashes, parents, sets)
    return [merged[name] for name in sorted(merged)]


def _of_set(root: Path, name: str) -> Iterator[Package]:
    text = (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    entries = list(_ENTRY.finditer(text))
    if len(entries) != text.count("==") or not entries:
        raise ValueError(f"requirements/{name}.txt has an unknown form: run `make lock`.")
    for entry in entries:
        parents = (part for part in entry["via"].split(", ") if not part.startswith("-c "))
        # A requirement of the project is followed by its origin: "tigr-monitor (pyproject.toml)".
        named = frozenset(parent.partition(" ")[0] for parent in parents)
        hashes = frozenset(_HASH.findall(entry["hashes"]))
        yield Package(entry["name"], entry["version"], hashes, named, frozenset({name}))
