"""The releases of Debian that have a package, each with its version of Python."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Debian."""

    suite: str  # its code name
    number: int
    python: tuple[int, int]  # the only version of Python with which its package works

    def python_version(self) -> str:
        """Return the version of Python, such as `3.13`."""
        return ".".join(map(str, self.python))

    def dependency(self) -> str:
        """Return the dependency on that version: the libraries in the package are compiled for it."""
        major, minor = self.python
        return f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1})"

    def package_version(self, version: str) -> str:
        """Return the version of the package; that of a newer release of Debian is higher."""
        return f"{version}+deb{self.number}"


RELEASES = {release.suite: release for release in (Release("bookworm", 12, (3, 11)), Release("trixie", 13, (3, 13)))}
