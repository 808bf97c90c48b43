"""Build the Debian packages of this checkout with `make deb`, and derive a newer version from one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from debian.releases import RELEASES
from tests.support.checkout import copy_to, git
from tests.system.systemd.roots import scratch

SUITES = tuple(RELEASES)
CONFFILE = "etc/tigr-monitor/tigr-monitor.toml"
NEWER = "99.0.0"
_COMMITTED = "2026-01-31T12:00:00+00:00"


def commit_to(clone: Path) -> None:
    """Commit the files of this checkout to a new repository in `clone`: always the same commit."""
    copy_to(clone)
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    times = {"GIT_AUTHOR_DATE": _COMMITTED, "GIT_COMMITTER_DATE": _COMMITTED}
    command = ["git", *author, "commit", "--quiet", "--message", "All"]
    subprocess.run(command, cwd=clone, env=os.environ | times, check=True)


def make_deb(clone: Path, *suites: str, umask: int = 0o022, environ: Mapping[str, str] | None = None) -> list[Path]:
    """Run `make deb` in a clone and return the packages that it names, one for each suite."""
    command = ["make", "--no-print-directory", "deb", f"VENV={sys.prefix}", f"SUITES={' '.join(suites)}"]
    trusted = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    with tempfile.TemporaryDirectory() as directory, scratch(Path(directory)) as temporary:
        variables = os.environ | trusted | {"TMPDIR": str(temporary)} | dict(environ or {})
        done = subprocess.run(
            command, cwd=clone, env=variables, umask=umask, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return [clone / line for line in done.stdout.splitlines() if line.endswith(".deb")]


def newer(package: Path, folder: Path) -> Path:
    """Write a package with a higher version and another configuration file into `folder`, and return its path."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    version = package.name.split("_")[1].partition("+")[0]
    control.write_text(control.read_text().replace(f"Version: {version}", f"Version: {NEWER}"))
    with (tree / CONFFILE).open("a") as file:
        file.write("# A line of the newer version.\n")
    path = folder / package.name.replace(version, NEWER)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, path], check=True, capture_output=True)
    shutil.rmtree(tree)
    return path
