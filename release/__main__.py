"""Create a release: `python -m release 1.2.3` creates a version, changelog section, commit, tag and packages.

Everything happens in this clone; nothing is sent anywhere. The last line of the output names the remaining steps.
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
# Other files that contain the version, in the tag of the image.
NAMING = ("README.md", "docs/install.md", "kubernetes/tigr-monitor.yaml")
IMAGE_TAG = re.compile(r"(?<=\btigr-monitor:)\d+\.\d+\.\d+\b")
VERSION_LINE = re.compile(r'^version = "(.+)"$', flags=re.MULTILINE)


class CannotReleaseError(Exception):
    """A release is impossible. The message names the problem and its remedy; nothing was changed."""


def next_version(pyproject: str, wanted: str) -> Version:
    """Return the version to release.

    Raises CannotReleaseError unless it consists of three numbers and is not older than the version in pyproject.toml.
    """
    current = VERSION_LINE.search(pyproject)
    if not current:
        raise CannotReleaseError("pyproject.toml has no line `version = …`: add one under [project].")
    try:
        version = Version(wanted)
    except InvalidVersion:
        raise CannotReleaseError(f"{wanted!r} is not a version: use three numbers, for example 1.2.3.") from None
    if len(version.release) != 3 or str(version) != wanted or version.is_prerelease or version.is_postrelease:
        raise CannotReleaseError(f"{wanted!r} is not of the form 1.2.3: use three numbers.")
    if version < Version(current[1]):
        raise CannotReleaseError(
            f"{wanted} is older than {current[1]}, the version in pyproject.toml: use a newer version."
        )
    return version


def with_section(changelog: str, version: Version, day: dt.date) -> str:
    """Return the changelog with the unreleased entries under this version, below an empty unreleased section.

    Raises CannotReleaseError if there is no unreleased entry.
    """
    before, heading, after = changelog.partition(UNRELEASED)
    entries = after.partition("\n## [")[0]
    if not heading or "\n- " not in entries:
        raise CannotReleaseError(
            "CHANGELOG.md has no entry under [Unreleased]: add the changes that a user will notice."
        )
    return f"{before}{UNRELEASED}\n## [{version}] - {day.isoformat()}\n{after}"


def git(root: Path, *arguments: str) -> str:
    """Run git and return its output; raise CannotReleaseError if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def build(root: Path, moment: str) -> list[Path]:
    """Build wheel and sdist in dist/ and return their paths.

    The same commit gives the same bytes; `moment` is its time, in Unix seconds. Raises CannotReleaseError if it fails.
    """
    command = [sys.executable, "-m", "hatchling", "build", "--directory", "dist"]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": moment}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotReleaseError(f"cannot build the packages: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return sorted((root / "dist").glob("tigr_monitor-*"))


def release(root: Path, wanted: str, day: dt.date) -> list[Path]:
    """Release the committed files and return the packages.

    Raises CannotReleaseError if the version, the changelog or the state of the clone is wrong, before any change.
    """
    pyproject, changelog = root / "pyproject.toml", root / "CHANGELOG.md"
    if git(root, "status", "--porcelain"):
        raise CannotReleaseError("there are changes that are not committed: commit or discard them (see git status).")
    version = next_version(pyproject.read_text(encoding="utf-8"), wanted)
    tag = f"v{version}"
    if git(root, "tag", "--list", tag):
        raise CannotReleaseError(f"the tag {tag} exists already: use a newer version.")
    new_changelog = with_section(changelog.read_text(encoding="utf-8"), version, day)
    new_pyproject = VERSION_LINE.sub(f'version = "{version}"', pyproject.read_text(encoding="utf-8"), count=1)
    changelog.write_text(new_changelog, encoding="utf-8")
    pyproject.write_text(new_pyproject, encoding="utf-8")
    for path in (root / name for name in NAMING):
        path.write_text(IMAGE_TAG.sub(str(version), path.read_text(encoding="utf-8")), encoding="utf-8")
    git(root, "commit", "--quiet", "--message", f"Release {version}", "--", "CHANGELOG.md", "pyproject.toml", *NAMING)
    git(root, "tag", "--annotate", "--message", f"tigr-monitor {version}", tag)
    return build(root, git(root, "log", "-1", "--format=%ct"))


def main() -> int:
    """Return 0 if the release was created, 2 if a problem must be solved first."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("version", help="for example 1.2.3")
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    try:
        packages = release(root, options.version, dt.datetime.now(dt.UTC).date())
    except CannotReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    for package in packages:
        print(package.relative_to(root))
    print(f"Tagged v{options.version}. To publish: run git push origin HEAD v{options.version}, then upload dist/*.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
