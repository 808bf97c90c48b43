"""Make a release: `python -m release 1.2.3` gives it a version, a changelog section, a commit, a tag and packages.

Everything happens in this clone; nothing is sent anywhere. What is left to do is said at the end.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

UNRELEASED = "## [Unreleased]\n"
# What else names the version: the image that it is deployed from.
NAMING = ("README.md", "docs/install.md", "kubernetes/tigr-monitor.yaml")
IMAGE_TAG = re.compile(r"(?<=\btigr-monitor:)\d+\.\d+\.\d+\b")
VERSION_LINE = re.compile(r'^version = "(.+)"$', flags=re.MULTILINE)


class CannotReleaseError(Exception):
    """Says what is wrong and what to do. Nothing was changed."""


def next_version(pyproject: str, wanted: str) -> Version:
    """The version to release: three numbers, and not older than what pyproject.toml has."""
    found = VERSION_LINE.search(pyproject)
    if not found:
        raise CannotReleaseError("pyproject.toml has no line `version = …`: put one under [project].")
    try:
        version = Version(wanted)
    except InvalidVersion:
        raise CannotReleaseError(f"{wanted!r} is no version: give one like 1.2.3.") from None
    if len(version.release) != 3 or str(version) != wanted or version.is_prerelease or version.is_postrelease:
        raise CannotReleaseError(f"{wanted!r} is not of the form 1.2.3: give three numbers.")
    if version < Version(found[1]):
        raise CannotReleaseError(f"{wanted} is older than {found[1]}, which pyproject.toml has: give a newer one.")
    return version


def with_section(changelog: str, version: Version, day: dt.date) -> str:
    """The changelog with what was unreleased under this version, and room for what comes next."""
    before, heading, after = changelog.partition(UNRELEASED)
    entries = after.partition("\n## [")[0]
    if not heading or "\n- " not in entries:
        raise CannotReleaseError("CHANGELOG.md has no entry under [Unreleased]: say there what a user will notice.")
    return f"{before}{UNRELEASED}\n## [{version}] - {day.isoformat()}\n{after}"


def git(root: Path, *arguments: str) -> str:
    """What git says."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def build(root: Path, moment: str) -> list[Path]:
    """Wheel and sdist in dist/, the same bytes for the same commit (`moment` is its time, in Unix seconds)."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", "dist"]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": moment}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotReleaseError(f"The packages could not be built: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return sorted((root / "dist").glob("tigr_monitor-*"))


def release(root: Path, wanted: str, day: dt.date) -> list[Path]:
    """Release what is committed; returns the packages. Raises CannotReleaseError before anything was changed."""
    pyproject, changelog = root / "pyproject.toml", root / "CHANGELOG.md"
    if git(root, "status", "--porcelain"):
        raise CannotReleaseError("There are changes that are not committed: commit or drop them (git status).")
    version = next_version(pyproject.read_text(encoding="utf-8"), wanted)
    tag = f"v{version}"
    if git(root, "tag", "--list", tag):
        raise CannotReleaseError(f"There is a tag {tag} already: give a newer version.")
    told = with_section(changelog.read_text(encoding="utf-8"), version, day)
    named = VERSION_LINE.sub(f'version = "{version}"', pyproject.read_text(encoding="utf-8"), count=1)
    changelog.write_text(told, encoding="utf-8")
    pyproject.write_text(named, encoding="utf-8")
    for path in (root / name for name in NAMING):
        path.write_text(IMAGE_TAG.sub(str(version), path.read_text(encoding="utf-8")), encoding="utf-8")
    git(root, "commit", "--quiet", "--message", f"Release {version}", "--", "CHANGELOG.md", "pyproject.toml", *NAMING)
    git(root, "tag", "--annotate", "--message", f"tigr-monitor {version}", tag)
    return build(root, git(root, "log", "-1", "--format=%ct"))


def main() -> int:
    """Status 0 when the release was made, 2 when something has to be put right first."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("version", help="like 1.2.3")
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    try:
        packages = release(root, options.version, dt.datetime.now(dt.UTC).date())
    except CannotReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    for package in packages:
        print(package.relative_to(root))
    print(f"Tagged v{options.version}. Send it off: git push origin HEAD v{options.version}, and upload dist/*.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
