"""Build the Debian packages of the current commit: `python -m debian [SUITE …]` writes them into dist/.

Each package is built in a new root of its release, which is removed at the end. The root needs no access to a package
index: the wheels are downloaded before, with the settings of pip on this machine, and their hashes are verified.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from debian.releases import RELEASES, Release

ROOT = Path(__file__).parents[1]
_NEWEST_GLIBC = 36  # Debian 12 has glibc 2.36
_OLD_PLATFORMS = ("manylinux1", "manylinux2010", "manylinux2014")  # names of wheels for glibc 2.5, 2.12 and 2.17


class CannotBuildError(Exception):
    """A package cannot be built. The message names the problem and its remedy."""


def run(command: list[str], purpose: str, **environ: str) -> str:
    """Run a command with additional variables and return its standard output; raise CannotBuildError if it fails."""
    variables = os.environ | environ
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuildError(f"cannot {purpose}: {done.stdout[-2000:]}{done.stderr[-2000:]}".rstrip())
    return done.stdout.strip()


def check_requirements() -> None:
    """Raise CannotBuildError if a program is missing, or if the clone has changes that are not committed."""
    if not shutil.which("mmdebstrap"):
        raise CannotBuildError("mmdebstrap is not installed: run apt-get install mmdebstrap.")
    if run(["git", "status", "--porcelain"], "read the state of the clone"):
        raise CannotBuildError("there are changes that are not committed: commit or discard them (see git status).")


def pip(command: str, *options: str, sets: tuple[str, ...], **environ: str) -> None:
    """Run a command of pip on these requirements, with verified hashes."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", command, "--quiet"]
    requirements = [f"--requirement=requirements/{name}.txt" for name in sets]
    purpose = f"{command} the requirements {', '.join(sets)}"
    run([*pip, *options, "--require-hashes", "--no-deps", *requirements], purpose, **environ)


def download(release: Release, wheels: Path, tools: Path) -> None:
    """Download the locked wheels for the Python of this release and for the processor of this machine.

    One tool has no wheel: pip needs setuptools, in the directory `tools`, to read its metadata.
    """
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(5, _NEWEST_GLIBC + 1)]
    platforms += [f"{name}_{machine}" for name in _OLD_PLATFORMS]
    options = ["--only-binary=:all:", f"--python-version={release.python_version()}"]
    options += [f"--platform={name}" for name in platforms]
    pip("download", f"--dest={wheels}", *options, sets=("demo", "build", "setuptools"))
    pip("install", f"--target={tools}", sets=("setuptools",))
    pip("download", f"--dest={wheels}", "--no-build-isolation", sets=("deb",), PYTHONPATH=str(tools))


def build(release: Release, commit: str, output: Path) -> Path:
    """Build the package of one release from a commit; return its path in `output`."""
    with tempfile.TemporaryDirectory(prefix="tigr-monitor-deb-") as name:
        scratch = Path(name)
        for folder in ("source", "wheels", "package"):
            (scratch / folder).mkdir()
        archive = scratch / "source.tar"
        run(["git", "archive", f"--output={archive}", commit], "read the commit")
        run(["tar", "--extract", f"--file={archive}", f"--directory={scratch / 'source'}"], "read the commit")
        download(release, scratch / "wheels", scratch / "tools")
        epoch = run(["git", "log", "-1", "--format=%ct", commit], "read the time of the commit")
        script = f"cd /build/source && SOURCE_DATE_EPOCH={epoch} python3 -m debian.assemble {release.suite}"
        hooks = [
            'mkdir "$1/build"',
            f"copy-in {shlex.quote(str(scratch / 'source'))} {shlex.quote(str(scratch / 'wheels'))} /build",
            f'chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -c {shlex.quote(script)}',
            f"sync-out /build/package {shlex.quote(str(scratch / 'package'))}",
        ]
        options = ["--quiet", "--variant=apt", "--include=python3-venv", "--format=null", "--dpkgopt=force-unsafe-io"]
        command = ["mmdebstrap", *options, *(f"--customize-hook={hook}" for hook in hooks), release.suite, "/dev/null"]
        run(command, f"build the package for {release.suite}")
        (package,) = scratch.joinpath("package").glob("*.deb")
        output.mkdir(exist_ok=True)
        return Path(shutil.copyfile(package, output / package.name))


def main() -> int:
    """Return 0 if the packages were built, 2 if a problem must be solved first."""
    parser = argparse.ArgumentParser(prog="python -m debian", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="bookworm or trixie (default: both)")
    options = parser.parse_args()
    if unknown := [suite for suite in options.suites if suite not in RELEASES]:
        parser.error(f"there is no package for {unknown[0]}: choose from {', '.join(RELEASES)}")
    chosen = [RELEASES[suite] for suite in options.suites or RELEASES]
    try:
        check_requirements()
        commit = run(["git", "rev-parse", "HEAD"], "read the commit")  # another one may follow during the build
        with ThreadPoolExecutor() as pool:
            packages = list(pool.map(lambda release: build(release, commit, ROOT / "dist"), chosen))
    except CannotBuildError as error:
        print(f"deb: {error}", file=sys.stderr)
        return 2
    for package in packages:
        print(package.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
