"""The command that builds the Debian packages: the problems that it reports before it builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from debian import __main__ as deb
from debian.releases import RELEASES
from tests.support.checkout import git

pytestmark = pytest.mark.once


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty repository from which the packages are built, on a machine with mmdebstrap."""
    git(tmp_path, "init", "--quiet")
    monkeypatch.setattr(deb, "ROOT", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/mmdebstrap")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command and return its exit status."""
    monkeypatch.setattr("sys.argv", ["deb", *arguments])
    return deb.main()


def test_changes_that_are_not_committed_are_refused(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The package is that of a commit, so a change that is in none would be missing."""
    (clone / "new").touch()
    assert run(monkeypatch) == 2
    assert "deb: there are changes that are not committed" in capsys.readouterr().err


@pytest.mark.usefixtures("clone")
def test_a_missing_program_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the Debian package of the program."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert run(monkeypatch) == 2
    assert "apt-get install mmdebstrap" in capsys.readouterr().err


@pytest.mark.usefixtures("clone")
def test_an_unknown_release_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the releases that have a package."""
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "sid")
    assert ended.value.code == 2
    assert "choose from bookworm, trixie" in capsys.readouterr().err


def test_the_package_of_the_next_release_has_a_higher_version() -> None:
    """So apt installs it in place of the older one."""
    versions = [release.package_version("0.1.0") for release in RELEASES.values()]
    assert versions == sorted(versions) == ["0.1.0+deb12", "0.1.0+deb13"]
