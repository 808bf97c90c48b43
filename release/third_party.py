"""THIRD-PARTY.txt: the packages that the installations contain, their licenses and the texts of these.

`python -m release.third_party` writes it from the installed packages; wheel, sdist and image contain it.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from release import licenses, locked

FILE = "THIRD-PARTY.txt"
_INTRODUCTION = """\
Software of others in the installations of tigr-monitor

The image, the Debian package and a venv that pip fills contain the Python packages below. Each has the license that
its metadata names, as an SPDX expression, and the texts that its wheel contains. The libraries inside compiled modules,
such as OpenSSL in cryptography and libyaml in PyYAML, are named only if the wheel names them. The image also contains
Python and Debian packages of its base image; in Debian, /usr/share/doc has their licenses.

`make third-party` writes this file.
"""
_LINE = "=" * 80
_HEADING = re.compile(rf"^{_LINE}\n(?P<name>\S+) (?P<version>\S+)\nLicense: (?P<license>.*)\n{_LINE}$", re.MULTILINE)


def entry(package: locked.Package) -> str:
    """Return the entry of a package from its installed version.

    Raises `ValueError` if another version is installed, or if its license is unknown or not allowed.
    """
    try:
        installed = distribution(package.name)
    except PackageNotFoundError:
        raise ValueError(f"{package.name} is not installed: run `make third-party`.") from None
    if installed.version != package.version:
        raise ValueError(
            f"{package.name} {installed.version} is installed, but {package.version} is locked: run `make third-party`."
        )
    license_ = licenses.expression(installed)
    if not licenses.is_allowed(license_):
        raise ValueError(
            f"{package.name} {package.version} has the license {license_ or 'unknown'!r}, which is not allowed:"
            " use another package, or add the license to ALLOWED in release/licenses.py."
        )
    heading = f"{_LINE}\n{package.name} {package.version}\nLicense: {license_}\n{_LINE}"
    texts = [f"--- {name}\n\n{text}" for name, text in licenses.texts(installed).items()]
    return "\n\n".join([heading, *(texts or ["(Its wheel contains no license text.)"])]) + "\n"


def document(root: Path) -> str:
    """Return the content of the file. Raises `ValueError`, as `entry` does."""
    return "\n".join([_INTRODUCTION, *(entry(package) for package in locked.packages(root))])


def listed(root: Path) -> dict[tuple[str, str], str]:
    """Return the licenses in the committed file by name and version."""
    text = (root / FILE).read_text(encoding="utf-8")
    headings = _HEADING.finditer(text)
    return {(heading["name"], heading["version"]): heading["license"] for heading in headings}


def main() -> int:
    """Return 0 if the file was written, 2 if a package has no allowed license."""
    root = Path(__file__).parents[1]
    try:
        text = document(root)
    except ValueError as error:
        print(f"cannot write {FILE}: {error}", file=sys.stderr)
        return 2
    (root / FILE).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
