"""The wheel, the sdist and the release command."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from monitor import __version__
from release import sbom
from release.__main__ import NAMING, build, check_dist, next_version, release, with_section
from release.errors import CannotReleaseError
from tests.support.checkout import ROOT, copy_to, git, tracked
from tests.support.release_clone import make_clone

DAY = dt.date(2026, 1, 31)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return wheel and sdist of the tracked files by suffix, built as in a release."""
    clone = tmp_path_factory.mktemp("clone")
    copy_to(clone)
    return {path.suffix: path for path in build(clone, "1700000000")}


def test_the_wheel_contains_only_the_package(packages: dict[str, Path]) -> None:
    """The wheel contains the tracked files of `monitor`, with the marker of its types, and nothing else."""
    with zipfile.ZipFile(packages[".whl"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licenses = {name.partition(".dist-info/licenses/")[2] for name in wheel.namelist() if "/licenses/" in name}
    assert names == tracked("monitor")
    assert "monitor/py.typed" in names
    assert licenses == {"LICENSE", "THIRD-PARTY.txt"}


def test_the_sdist_contains_every_file_for_build_and_tests(packages: dict[str, Path]) -> None:
    """The sdist contains every tracked file except those of CI, and no untracked file."""
    with tarfile.open(packages[".gz"]) as sdist:
        names = {re.sub(r"^[^/]+/", "", member.name) for member in sdist.getmembers()}
    unwanted = {".gitattributes"} | tracked(".ci", ".editorconfig")
    missing = {name for name in tracked(".") if name not in names} - unwanted
    assert missing == set()
    assert names - tracked(".") == {"PKG-INFO"}


def test_packages_are_reproducible(packages: dict[str, Path], tmp_path: Path) -> None:
    """A wheel that is built from the sdist has the same bytes as the released wheel."""
    again = tmp_path / "again"
    with tarfile.open(packages[".gz"]) as sdist:
        sdist.extractall(again, filter="data")
    (folder,) = again.iterdir()
    built = {path.suffix: path for path in build(folder, "1700000000")}
    assert built[".whl"].read_bytes() == packages[".whl"].read_bytes()


@pytest.mark.system
@pytest.mark.timeout(180)
def test_the_wheel_runs_in_an_empty_environment(packages: dict[str, Path], tmp_path: Path) -> None:
    """The command starts with only the pinned runtime dependencies; the test needs a package registry."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [str(venv / "bin" / "pip"), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt")], check=True)
    subprocess.run([*install, str(packages[".whl"])], check=True)
    subprocess.run([*pip, "check"], check=True, capture_output=True)
    command = [str(venv / "bin" / "tigr-monitor"), "--version"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["tigr-monitor", __version__]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository with the files that a release changes, and one package."""
    return make_clone(tmp_path)


def test_a_release_creates_version_section_commit_tag_and_packages(clone: Path) -> None:
    """One command creates everything, and the working tree is clean afterwards."""
    built = release(clone, "7.0.1", DAY, sign=False)
    packages = ["tigr_monitor-7.0.1-py3-none-any.whl", "tigr_monitor-7.0.1.tar.gz"]
    assert [path.name for path in built] == [*packages, "tigr-monitor-7.0.1.cdx.json", "SHA256SUMS"]
    assert set(built) == set((clone / "dist").iterdir())
    moment = git(clone, "log", "-1", "--format=%ct").strip()
    assert built[2].read_text(encoding="utf-8") == sbom.document(clone, "7.0.1", moment)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in built[:3]]
    assert sorted(built[3].read_text(encoding="utf-8").splitlines()) == sorted(sums)
    assert git(clone, "tag").split() == ["v7.0.1"]
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "log", "-1", "--format=%s").strip() == "Release 7.0.1"
    changelog = (clone / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in NAMING:
        assert set(re.findall(r"tigr-monitor:(\d\S*)", (clone / name).read_text(encoding="utf-8"))) == {"7.0.1"}
    assert "## [Unreleased]\n\n## [7.0.1] - 2026-01-31\n\n### Added\n\n- A thing.\n" in changelog


def test_a_release_with_uncommitted_changes_is_refused(clone: Path) -> None:
    """A release with an untracked file fails and creates no tag."""
    (clone / "new").write_text("", encoding="utf-8")
    with pytest.raises(CannotReleaseError, match="not committed"):
        release(clone, "7.0.1", DAY, sign=False)
    assert git(clone, "tag") == ""


def test_a_version_is_released_only_once(clone: Path) -> None:
    """A release of an existing tag fails."""
    git(clone, "tag", "v7.0.1")
    with pytest.raises(CannotReleaseError, match="already"):
        release(clone, "7.0.1", DAY, sign=False)


@pytest.mark.parametrize(
    "name,accepted",
    [
        ("tigr_monitor-7.0.1.tar.gz", True),
        ("tigr-monitor_7.0.1+deb13_amd64.deb", True),
        ("SHA256SUMS", True),
        ("tigr_monitor-7.0.0.tar.gz", False),
        ("tigr_monitor-7.0.10.tar.gz", False),
        ("tigr_monitor-17.0.1.tar.gz", False),
        ("notes.txt", False),
    ],
)
def test_dist_has_files_of_this_version_only(tmp_path: Path, name: str, accepted: bool) -> None:  # noqa: FBT001
    """A file of another version would be uploaded with this one, so there is no release."""
    check_dist(tmp_path, "7.0.1")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / name).touch()
    if accepted:
        check_dist(tmp_path, "7.0.1")
    else:
        with pytest.raises(CannotReleaseError, match="does not belong to 7"):
            check_dist(tmp_path, "7.0.1")


def test_a_release_whose_licenses_are_not_listed_is_refused(clone: Path) -> None:
    """If THIRD-PARTY.txt is older than the locked packages, the release fails before any change."""
    (clone / "THIRD-PARTY.txt").write_text("", encoding="utf-8")
    git(clone, "commit", "--quiet", "--all", "--message", "Empty")
    with pytest.raises(CannotReleaseError, match=r"cannot write the SBOM: THIRD-PARTY\.txt lacks"):
        release(clone, "7.0.1", DAY, sign=False)
    assert git(clone, "log", "-1", "--format=%s").strip() == "Empty"


@pytest.mark.parametrize("wanted", ["", "x", "1.2", "v1.2.3", "1.2.3rc1", "01.2.3", "1.2.3.post1", "0.0.9"])
def test_an_invalid_or_older_version_is_refused(wanted: str) -> None:
    """A version must consist of three numbers and must not be older than the current one."""
    with pytest.raises(CannotReleaseError, match=r"version|form|older"):
        next_version('version = "0.1.0"\n', wanted)


@pytest.mark.parametrize("changelog", ["", "## [Unreleased]\n\n## [0.1.0]\n\n- A thing.\n"])
def test_a_release_without_changelog_entries_is_refused(changelog: str) -> None:
    """A release without an entry under [Unreleased] fails."""
    with pytest.raises(CannotReleaseError, match="Unreleased"):
        with_section(changelog, next_version('version = "0.1.0"', "0.1.0"), DAY)
