"""Run tests with the Prometheus and the Alertmanager of Debian testing, which are not installed.

`python -m tests.system.prometheus.versions PATH…` gets the packages into a temporary folder, with apt's settings and
lists in that folder too, and runs pytest on the paths with the programs first in `PATH`. The exit status is that of
pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("prometheus", "promtool", "prometheus-alertmanager")  # promtool is a package of its own from Debian 13 on
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT = 300  # seconds


class UnreachableError(Exception):
    """The package index cannot be reached; the text is apt's message."""


def programs(folder: Path) -> Path:
    """Get the packages into this folder and return the directory of their programs. Raises `UnreachableError`.

    The mirror is the one from which this machine installs packages.
    """
    options = _options(folder)
    for command in (["update"], ["download", *PACKAGES]):
        # Strict: without it, apt reports success if the index could not be reached.
        arguments = ["apt-get", *options, "-o", "APT::Update::Error-Mode=any", *command]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        if done.returncode:
            raise UnreachableError(done.stderr.strip())
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True, timeout=_TIMEOUT)
    return folder / "root" / "usr" / "bin"


def _options(folder: Path) -> list[str]:
    """Write the settings of apt and return its options; nothing outside the folder is read or changed."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {_mirror()} testing main\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
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
    with tempfile.TemporaryDirectory() as name:
        try:
            directory = programs(Path(name))
        except UnreachableError as error:
            print(f"cannot get the packages of Debian testing: {error}; check the connection", file=sys.stderr)
            return 2
        environ = os.environ | {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
        command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
