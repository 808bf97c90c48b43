"""THIRD-PARTY.txt has every locked package with an allowed license."""

from __future__ import annotations

import re
from email.message import Message
from importlib.metadata import Distribution, version
from pathlib import Path

import pytest

from release import licenses, locked, third_party
from tests.support.checkout import ROOT

pytestmark = pytest.mark.once

TEXT = (ROOT / third_party.FILE).read_text(encoding="utf-8")


def test_every_package_of_an_installation_has_an_entry() -> None:
    """The entries are the pins of the runtime, of the demo and of the build, and no other."""
    pins = set()
    for name in ("runtime", "demo", "build"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins |= set(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    assert third_party.listed(ROOT).keys() == pins, "run `make third-party`"


def test_every_license_is_known_and_allowed() -> None:
    """No package has an unknown license, or only licenses that bind the programs that use it."""
    assert [entry for entry in third_party.listed(ROOT).items() if not licenses.is_allowed(entry[1])] == []


def test_the_file_is_current() -> None:
    """The entry of each package whose locked version is installed is what `make third-party` writes."""
    current = [package for package in locked.packages(ROOT) if version(package.name) == package.version]
    assert current
    assert [package.name for package in current if third_party.entry(package) not in TEXT] == []


def test_the_texts_of_the_wheels_are_in_the_file() -> None:
    """Every wheel of today has a text, and the texts of well-known licenses are in the file."""
    assert "(Its wheel contains no license text.)" not in TEXT
    for sentence in ("THE SOFTWARE IS PROVIDED", "END OF TERMS AND CONDITIONS", "Mozilla Public License"):
        assert sentence in TEXT


@pytest.mark.parametrize(
    "expression,allowed",
    [
        ("MIT", True),
        ("Apache-2.0 OR BSD-3-Clause", True),
        ("GPL-2.0-only OR MIT", True),
        ("MIT AND PSF-2.0", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND GPL-3.0-only", False),
        ("AGPL-3.0-only OR LGPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", False),
        ("LicenseRef-Proprietary", False),
        ("", False),
    ],
)
def test_licenses_that_bind_other_programs_are_not_allowed(expression: str, allowed: bool) -> None:  # noqa: FBT001
    """One allowed choice suffices; all licenses that apply together must be allowed; an unknown form is refused."""
    assert licenses.is_allowed(expression) is allowed


class Installed(Distribution):
    """A package with this metadata and no files."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self._message = Message()
        for name, value in fields:
            self._message[name] = value
        self._message["Name"] = "x"

    def read_text(self, filename: str) -> str | None:
        return str(self._message) if filename == "METADATA" else None

    def locate_file(self, path: object) -> Path:
        raise AssertionError(path)


@pytest.mark.parametrize(
    "fields,expression",
    [
        ([("License-Expression", "MIT")], "MIT"),
        ([("License-Expression", "apache-2.0 or bsd-3-clause")], "Apache-2.0 OR BSD-3-Clause"),
        ([("License", "BSD-3-Clause"), ("Classifier", "License :: OSI Approved :: BSD License")], "BSD-3-Clause"),
        ([("License", "Some text"), ("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: BSD License")], ""),
        ([("Classifier", "License :: OSI Approved :: GNU General Public License v3 (GPLv3)")], ""),
        ([("Summary", "x")], ""),
    ],
)
def test_the_license_is_read_from_the_metadata(fields: list[tuple[str, str]], expression: str) -> None:
    """An expression wins over the older field, and that over the classifiers; a vague classifier decides nothing."""
    assert licenses.expression(Installed(*fields)) == expression


def test_a_package_that_is_not_installed_as_locked_is_refused() -> None:
    """The entry of a package comes from the locked version only."""
    other = locked.Package("h11", "0.0.1", frozenset(), frozenset(), frozenset())
    with pytest.raises(ValueError, match=r"h11 .* is installed, but 0\.0\.1 is locked"):
        third_party.entry(other)


def test_a_package_with_a_forbidden_license_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file cannot be written with a license that is not allowed."""
    monkeypatch.setattr(licenses, "ALLOWED", frozenset({"ISC"}))
    package = locked.Package("h11", version("h11"), frozenset(), frozenset(), frozenset())
    with pytest.raises(ValueError, match="has the license 'MIT', which is not allowed"):
        third_party.entry(package)
