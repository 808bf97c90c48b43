"""Run tests with a Prometheus and an Alertmanager that are not installed.

`python -m tests.system.prometheus.versions RELEASE PATH…` gets the packages of `trixie` (Debian 13) or `testing` into a
temporary folder, with apt's settings and lists in that folder too, and runs pytest on the paths with the programs first
in `PATH`. The exit status is that of pytest. With `newest`, it builds the newest releases with Go instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASES = ("trixie", "testing")
NEWEST = "newest"
INSTALLED = "installed"  # the programs of Debian 12, which CI installs
# The versions with which the rules, the routes and their tests pass, by release. Testing moves on to newer ones.
TRIED = {
    "prometheus": {INSTALLED: (2, 42), "trixie": (2, 53), "testing": (3, 5)},
    "prometheus-alertmanager": {INSTALLED: (0, 25), "trixie": (0, 28), "testing": (0, 33)},
}
_PACKAGES = ("prometheus", "promtool", "prometheus-alertmanager")  # promtool is a package of its own from Debian 13 on
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_GO_PROGRAMS = {"prometheus": ("prometheus", "promtool"), "alertmanager": ("alertmanager", "amtool")}
_TIMEOUT = 300  # seconds
_BUILD_TIMEOUT = 3600  # seconds


class UnreachableError(Exception):
    """The packages cannot be downloaded or built; the text is the message of apt or Go."""


def programs(folder: Path, release: str) -> Path:
    """Get the packages into this folder and return the directory of their programs. Raises `UnreachableError`."""
    return extract(folder, release, *_PACKAGES) / "usr" / "bin"


def extract(folder: Path, release: str, *packages: str) -> Path:
    """Download and unpack packages, without what they depend on; return the root. Raises `UnreachableError`.

    The mirror is the one from which this machine installs packages. `folder` must be empty.
    """
    options = _options(folder, release)
    for command in (["update"], ["download", *packages]):
        # Strict: without it, apt reports success if the index could not be reached.
        arguments = ["apt-get", *options, "-o", "APT::Update::Error-Mode=any", *command]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        if done.returncode:
            raise UnreachableError(done.stderr.strip())
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True, timeout=_TIMEOUT)
    return folder / "root"


def build(folder: Path) -> Path:
    """Build the newest releases into this folder and return the directory. Raises `UnreachableError`."""
    if not shutil.which("go"):
        raise UnreachableError("Go is not installed")
    environ = os.environ | {"GOBIN": str(folder), "GOFLAGS": ""}
    for module, names in _GO_PROGRAMS.items():
        packages = [f"github.com/prometheus/{module}/cmd/{name}@latest" for name in names]
        command = ["go", "install", *packages]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_BUILD_TIMEOUT, check=False)
        if done.returncode:
            raise UnreachableError(done.stderr.strip())
    (folder / "alertmanager").rename(folder / "prometheus-alertmanager")  # the name that Debian gives it
    return folder


def _options(folder: Path, release: str) -> list[str]:
    """Write the settings of apt and return its options; nothing outside the folder is read or changed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {release} main\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _mirror() -> str:
    """Return the URI of a mirror of Debian; security updates are on another one."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]
    for line in subprocess.run(
        targets, capture_output=True, text=True, check=True, timeout=_TIMEOUT
    ).stdout.splitlines():
        uri, _, release = line.partition(" ")
        if "security" not in release and uri.rstrip("/").endswith("/debian"):
            return uri
    raise UnreachableError("apt knows no mirror of Debian")


def main() -> int:
    """Run pytest on the paths of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.prometheus.versions")
    parser.add_argument("release", choices=[*RELEASES, NEWEST])
    parser.add_argument("paths", nargs="+", metavar="PATH", help="argument of pytest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        try:
            folder, release = Path(name), arguments.release
            directory = build(folder) if release == NEWEST else programs(folder, release)
        except UnreachableError as error:
            print(f"cannot get the {arguments.release} packages: {error}; check the connection", file=sys.stderr)
            return 2
        environ = os.environ | {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
        command = [sys.executable, "-m", "pytest", *arguments.paths]
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
