"""Run buildah and podman with a separate store and a local base image, without a registry and without leftovers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BASE = "docker.io/library/python:3.13-slim"  # the official name; the image here is built from Debian
_PATIENCE = 300.0  # seconds
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Separate namespaces for mounts and processes: crun needs control groups of version 2 only, and the kernel ends all
# processes when the first process of the namespace ends.
_HOLDER = """
set -e
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo ready
exec cat
"""
# Python and pip in /usr/local, as in the official image, and not managed by Debian.
_LIKE_THE_OFFICIAL = """
for name in python python3; do ln -s /usr/bin/python3 /usr/local/bin/$name; done
rm /usr/lib/python3*/EXTERNALLY-MANAGED
pip install --quiet --no-cache-dir --ignore-installed --root-user-action=ignore pip
rm -r /usr/lib/python3/dist-packages /usr/bin/pip*
"""


class Podman:
    """A store of images, and the containers that run from it."""

    def __init__(self, store: Path, holder: int) -> None:
        self._enter = ["nsenter", f"--target={holder}", "--mount", "--pid"]
        self._store = ["--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver=overlay"]

    def build(self, folder: Path) -> list[str]:
        """Return the equivalent of `docker build` in a folder, with the pip configuration of this machine."""
        volumes = [path for path in (_CERTIFICATES, "/etc/pip.conf") if Path(path).exists()]
        mounted = [f"--volume={path}:{path}:ro" for path in volumes]
        options = ["--isolation=chroot", "--format=docker", "--pull-never", "--layers", *mounted]
        return [*self._enter, "env", f"--chdir={folder}", "buildah", *self._store, "build", *options]

    def buildah(self, *arguments: str | Path) -> str:
        """Run buildah and return its output."""
        return _run([*self._enter, "buildah", *self._store, *map(str, arguments)]).stdout.strip()

    def command(self, variables: Sequence[str] = ()) -> list[str]:
        """Return the equivalent of `docker`, with these variables (`NAME=text`)."""
        options = ["--cgroup-manager=cgroupfs", "--events-backend=file", "--log-level=error"]
        return [*self._enter, "env", *variables, "podman", *self._store, *options]

    def podman(
        self, *arguments: str | Path, check: bool = True, typed: str = "", variables: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run podman with `typed` as its input and these variables (`NAME=text`); return the completed process."""
        return _run([*self.command(variables), *map(str, arguments)], typed, check=check)

    def inspect(self, object_type: str, name: str) -> Any:  # noqa: ANN401 - a tree of JSON
        """Return the description of an image or a container (`object_type`)."""
        (description,) = json.loads(self.podman(object_type, "inspect", name).stdout)
        return description

    def pinned_base(self) -> str:
        """Return the name of the base image with its digest, as the documented command prints it."""
        return self.podman("image", "inspect", "--format", "{{index .RepoDigests 0}}", BASE).stdout.strip()

    def make_base(self, root: Path) -> None:
        """Create an image with the official short name from the root of a Debian with Python and pip."""
        container = self.buildah("from", "scratch")
        archive = root.with_suffix(".tar")
        subprocess.run(["tar", "-C", root, "--exclude=./dev/*", "-cf", archive, "."], check=True)
        self.buildah("add", container, archive, "/")
        archive.unlink()
        mounted = f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"
        self.buildah("run", "--isolation=chroot", mounted, container, "--", "sh", "-ec", _LIKE_THE_OFFICIAL)
        self.buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--env", "LANG=C.UTF-8", container)
        self.buildah("commit", "--quiet", "--format=docker", "--rm", container, BASE)
        short = BASE.rpartition("/")[2]
        self.buildah("tag", BASE, f"localhost/{short}")  # if no file resolves the short name


@contextmanager
def podman(store: Path) -> Iterator[Podman]:
    """Yield a store in a directory; at the end, stop every process of it."""
    holder = subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--propagation=private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-c",
            _HOLDER,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        (child,) = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        yield Podman(store, int(child))
    finally:
        holder.kill()
        holder.communicate()


def _run(command: list[str], typed: str = "", *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, input=typed, capture_output=True, text=True, timeout=_PATIENCE, check=False, env=_environment()
    )
    assert done.returncode == 0 or not check, f"status {done.returncode} of {command}\n{done.stdout}\n{done.stderr}"
    return done


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name in ("PATH", "HOME", "LANG")}
