"""Create a release: `python -m release 1.2.3` makes version, changelog section, commit, files in dist/, signed tag.

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

from release import checksums, sbom
from release.errors import CannotReleaseError

UNRELEASED = "## [Unreleased]\n"
# Other files that contain the version, in the tag of the image.
NAMING = ("README.md", "docs/install.md", "kubernetes/tigr-monitor.yaml", "systemd/tigr-monitor.container")
IMAGE_TAG = re.compile(r"(?<=\btigr-monitor:)\d+\.\d+\.\d+\b")
VERSION_LINE = re.compile(r'^version = "(.+)"$', flags=re.MULTILINE)


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


def bill_of_materials(root: Path, version: str, moment: str) -> str:
    """Return the SBOM of a version. Raises CannotReleaseError if THIRD-PARTY.txt does not have the locked packages."""
    try:
        return sbom.document(root, version, moment)
    except ValueError as error:
        raise CannotReleaseError(f"cannot write the SBOM: {error}") from None


def check_dist(root: Path, version: str) -> None:
    """Raise CannotReleaseError if dist/ has a file of another version, which would be uploaded with this one."""
    directory = root / "dist"
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    for name in names:
        if name != checksums.FILE and not re.search(rf"(?<![\d.]){re.escape(version)}(?![.]?\d)", name):
            raise CannotReleaseError(f"dist/{name} does not belong to {version}: move it to another directory.")


def check_signing(root: Path) -> None:
    """Raise CannotReleaseError if git cannot sign. The trial signature is on a commit that no branch contains."""
    try:
        git(root, "commit-tree", "-S", "-m", "Trial signature", "HEAD^{tree}")
    except CannotReleaseError as error:
        raise CannotReleaseError(
            f"the tag cannot be signed: {error} Set user.signingKey (for an SSH key, also gpg.format to ssh),"
            " or make a release without a signature: make release VERSION=… SIGN=no"
        ) from None


def release(root: Path, wanted: str, day: dt.date, *, sign: bool) -> list[Path]:
    """Release the committed files and return the files in dist/.

    Raises CannotReleaseError if the version, the changelog, the signing key or the state of the clone is wrong, before
    any change.
    """
    pyproject, changelog = root / "pyproject.toml", root / "CHANGELOG.md"
    if git(root, "status", "--porcelain"):
        raise CannotReleaseError("there are changes that are not committed: commit or discard them (see git status).")
    version = next_version(pyproject.read_text(encoding="utf-8"), wanted)
    tag = f"v{version}"
    if git(root, "tag", "--list", tag):
        raise CannotReleaseError(f"the tag {tag} exists already: use a newer version.")
    new_changelog = with_section(changelog.read_text(encoding="utf-8"), version, day)
    check_dist(root, wanted)
    bill_of_materials(root, wanted, "0")
    if sign:
        check_signing(root)
    new_pyproject = VERSION_LINE.sub(f'version = "{version}"', pyproject.read_text(encoding="utf-8"), count=1)
    changelog.write_text(new_changelog, encoding="utf-8")
    pyproject.write_text(new_pyproject, encoding="utf-8")
    for path in (root / name for name in NAMING):
        path.write_text(IMAGE_TAG.sub(str(version), path.read_text(encoding="utf-8")), encoding="utf-8")
    git(root, "commit", "--quiet", "--message", f"Release {version}", "--", "CHANGELOG.md", "pyproject.toml", *NAMING)
    moment = git(root, "log", "-1", "--format=%ct")
    packages, materials = build(root, moment), root / "dist" / f"tigr-monitor-{version}.cdx.json"
    materials.write_text(bill_of_materials(root, wanted, moment), encoding="utf-8")
    sums = checksums.write(root / "dist")
    # An annotated tag that git is not asked to sign is signed nevertheless if tag.gpgSign is set.
    signature = ["--sign"] if sign else ["--annotate", "--no-sign"]
    git(root, "tag", *signature, "--message", f"tigr-monitor {version}", tag)
    return [*packages, materials, sums]


def main() -> int:
    """Return 0 if the release was created, 2 if a problem must be solved first."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("version", help="for example 1.2.3")
    parser.add_argument("--no-sign", dest="sign", action="store_false", help="make a tag without a signature")
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    try:
        files = release(root, options.version, dt.datetime.now(dt.UTC).date(), sign=options.sign)
    except CannotReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    for file in files:
        print(file.relative_to(root))
    signed = "Tagged and signed" if options.sign else "Tagged without a signature:"
    print(f"{signed} v{options.version}. To publish: run git push origin HEAD v{options.version}, then upload dist/*.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
